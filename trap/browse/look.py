"""How the screen looks, and which keys it has everywhere."""

from textual.binding import Binding, BindingType

from trap.browse.sheets import SHEETS

CSS = """
* {
    scrollbar-size: 0 1; scrollbar-background: $background; scrollbar-background-hover: $background;
    scrollbar-color: $foreground 25%; scrollbar-color-hover: $foreground 40%;
}
#mistake { display: none; height: auto; max-height: 4; padding: 0 1; color: $text-error; }
#mistake.-on { display: block; }
#list { width: 1fr; }
#note { display: none; padding: 1 2; color: $text-muted; height: auto; }
#note.-on { display: block; }
Letter { width: 1fr; display: none; }
SearchLine { height: 1; background: $surface; border: none; padding: 0 1; }
SearchLine:focus { background: $surface-lighten-2; }
.-reading Letter { display: block; }
.-reading #list { display: none; }
.-wide #list { display: block; width: 9fr; }
.-wide Letter { display: block; width: 11fr; border-left: solid $surface-lighten-2; }
.-low.-narrow.-reading Title, .-low.-narrow.-reading SearchLine { display: none; }
"""
KEYS: list[BindingType] = [
    Binding("slash", "search", "search", key_display="/"),
    Binding("f", "counts", "narrow"),
    Binding("c", "campaign", "campaign"),
    Binding("m", "mask", "mask"),
    Binding("e", "export", "save"),
    Binding("u", "again", "new mail", show=False),
    *(Binding(sheet.key, f"sheet({at})", sheet.name, show=False) for at, sheet in enumerate(SHEETS)),
    Binding("escape", "before", "search before", show=False),
]
