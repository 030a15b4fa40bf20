"""Finds in a message what may be the password of the archive that came with it.

Senders of malware lock their archives against scanners and tell the victim how to open them: in the
text, the subject or the file's name, in many languages. No grammar is understood: words for "password"
are looked for, and what stands near them is ranked by how much it looks like one. Whether one is right,
only the archive knows.

    >>> candidates("Das Passwort lautet: 7Xk2")[0]
    '7Xk2'
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

MAX_CANDIDATES = 20
MAX_TEXT = 50_000
"""Characters of the text that are looked at, half from its beginning and half from its end."""
_MAX_PLACES = 20
"""Places where a password is spoken of."""
_MAX_FOUND = 12
"""Of the candidates, besides what everybody uses and plain words."""
_BEFORE, _AFTER = 30, 100
"""Characters around such a place."""
_LONGEST = 40
"""Characters of a password: people are to type it."""

_WORD = re.compile(
    r"(?<!\w)(?:pass(?:word|wort|code|phrase|wd|e|ord)?|pwd?|pin|codes?|key|kennwort|zugangscode|schlüssel"
    r"|mot\s+de\s+passe|mdp|contraseña|contrasena|clave|senha|código|codigo|parola|chiave|wachtwoord"
    r"|lösenord(?:et)?|adgangskode|kodeord|passord(?:et)?|salasana|hasło|haslo|hasłem|heslo|jelszó|şifre(?:si)?"
    r"|sifre(?:si)?|parole?|lozinka|geslo|slaptažodis|kod(?:as|e)?|κωδικός|парол[ьяюи]|парола|код|лозинка|סיסמה"
    r"|كلمة\s+(?:المرور|السر)|گذرواژه|mật\s+khẩu|kata\s+sandi)(?!\w)"
    r"|密码|密碼|口令|提取码|パスワード|비밀번호|암호|รหัสผ่าน|पासवर्ड",
    re.IGNORECASE,
)
_QUOTES = "\"'`*\u00b4\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u3010\u3011[]()<>"
_SAID = re.compile(r"[\s*_]{0,5}[:=\uff1a\u2192][\s*_:=>]{0,10}(\S{1,40})")
_QUOTED = re.compile(rf"[{re.escape(_QUOTES)}](\S{{1,40}}?)[{re.escape(_QUOTES)}]")
_TOKEN = re.compile(r"[!-~]{1,40}|[^\s!-~]{1,40}")
_ALONE = re.compile(r"^[ \t*>]{0,10}(\S{3,20})[ \t*]{0,10}$", re.MULTILINE)
_PARTS = re.compile(r"[^\W_]{3,20}")
_TRIM = _QUOTES + "_,;:.!?\uff1a\u3002\uff0c"
_COMMON = ("infected", "1234", "123", "12345", "123456", "0000", "1111", "password")


def candidates(text: str, names: Iterable[str] = ()) -> list[str]:
    """What may be the password, best first, MAX_CANDIDATES at the most.

    Args:
        text: of the message, its subject included.
        names: of its files.
    """
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT // 2]}\n{text[-MAX_TEXT // 2 :]}"
    said, near, words = _spoken_of(text)
    named = [part for name in islice(names, _MAX_PLACES) for part in _name_parts(name)]
    alone = [token for token in _ALONE.findall(text) if _is_code(token)]
    found = _distinct([*said, *near, *named, *alone])[:_MAX_FOUND]
    return _distinct([*found, *_COMMON, *words])[:MAX_CANDIDATES]


def _spoken_of(text: str) -> tuple[list[str], list[str], list[str]]:
    """What is said to be one, what stands near and looks like one, and the words that stand near."""
    said: list[str] = []
    quoted: list[str] = []
    near: list[str] = []
    words: list[str] = []
    for place in islice(_WORD.finditer(text), _MAX_PLACES):
        after = text[place.end() : place.end() + _AFTER]
        if direct := _SAID.match(after):
            said += _trimmed(direct[1])
        quoted += _QUOTED.findall(after)
        around = (
            *_TOKEN.findall(after),
            *_TOKEN.findall(text[max(0, place.start() - _BEFORE) : place.start()]),
        )
        for token in around:
            (near if _is_code(token) else words).extend(_trimmed(token))
    return said, [*quoted, *near], words


def _trimmed(token: str) -> Iterator[str]:
    """Without what surrounds it in a sentence, and as it stands: a password may end in a full stop."""
    bare = token.strip(_TRIM)
    yield bare
    if bare and token.startswith(bare):
        yield token


def _is_code(token: str) -> bool:
    """Whether it looks like a password rather than a word."""
    bare = token.strip(_TRIM)
    return len(bare) >= 3 and (bare[1:] != bare[1:].lower() or any(c.isdigit() for c in bare))


def _name_parts(name: str) -> list[str]:
    """Of a file's name: "report_pw8812.zip" gives 8812 too."""
    stem = name.rpartition(".")[0] or name
    parts = [stem, *_PARTS.findall(stem[:200])]
    return [part for part in (*parts, *re.findall(r"\d{3,8}", stem[:200])) if _is_code(part)]


def _distinct(tokens: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(token for token in tokens if 0 < len(token) <= _LONGEST))
