"""Words that mail is made of: as a trap's name they give nobody away, and a report needs them.

A trap called table@trap.example is looked for as an address; the word alone is HTML.

    >>> common("table"), common("utf-8"), common("webmaster"), common("joe.doe"), common("2026")
    (True, True, True, False, True)
    >>> common("xxxx")  # what is blanked consists of that
    True
"""

import encodings.aliases
import mimetypes
import re
from html.entities import name2codepoint

from trap.traces import ROLES

# fmt: off
_MAIL = """
    accept accepted address addresses agent alternative altrep application arc archive archived arrival
    at attached attachment attendee audio authenticated authentication author auto base64 bcc bit body
    bounce boundary bulk by calendar campaign category cc charset client comment comments complaints
    content control cram creation date default deferred delayed delivered delivery description details
    diagnostic digest disposition dkim dmarc domain domainkey domainkeys encapsulated encoded encoding
    encrypted envelope error errors esmtp esmtps esmtpsa expires expiry external failed failure fbl
    feedback field fields file filename final fingerprint flag flags flowed followup for form format
    forward forwarded from full generator global gzip header headers helo history host html http https
    id identification image importance in inline ip irt is keywords language last length level line
    lines link list listunsubscribe local location loop mailer mailing mailto main message messages
    method microsoft mime mixed mode model modification multipart name network no notification number
    octet of officedocument old on opaque opendocument openxmlformats options organization origin
    original originating outlook parallel part partial pass path permerror pgp php pkcs7 plain policy
    posted precedence preference presentationml priority private processed processing protocol provider
    public queue quoted read reason receipt received recipient recipients reference references refused
    related relay remote reply report reporting request resent result results return returned rfc822
    risk route rule sasl score screened script search security seen selector self send sender sending
    sensitivity sent server service session signature signed signer site size smime smtp smtps source
    spam spf spreadsheetml start state status stream structured subject subscribe summary system tag
    temperror text thread time title tls to token topic track tracking transfer transport type types
    undelivered unknown unsent unsubscribe update url urn user utf version via video virus vnd warning
    with wordprocessingml xml yes
"""
_MARKUP = """
    abbr above absolute active align alink all alt anchor and any apple area arial article aside auto
    axis background banner base baseline before below bgcolor big black block blockquote blue body bold
    border both bottom box break button calibri canvas caption cell cellpadding cellspacing center
    charset checked cite class clear clip code col collapse color colour cols colspan column content
    controls courier cursor custom dark dashed data default del description device dfn dialog dir
    disabled display div doctype document dotted double down edge embed end equiv even expression face
    false family field fieldset figure fill first fixed flex float font footer form frame frameborder
    frameset function georgia gmail gothic gradient gray green grid group head header heading height
    helvetica hidden hide high hover href hspace html http icon iframe image images img important index
    inherit initial inline inner input inset inside item javascript justify keep label landscape large
    last layer layout leading left legend letter light line linear link list logo lower lucida main map
    margin mark marker mask max media medium menu meta method min mobile mode moz mso name nav new
    noframes none normal noscript nowrap object odd off onclick one onload only opacity open option
    orange order org other out outer outline outlook over overflow overlay padding page panel param
    placeholder plain play pointer portrait pos position pre preview print progress property purple
    radio radius range rect red rel relative repeat resize right role rotate round row rows rowspan rule
    rules safe sans scale schema scope screen script scroll scrolling section select serif set shadow
    shape size small solid space span src srcset start static step stretch strike strong structure style
    stylesheet sub submit summary sup svg switch tab table tag tahoma target tbody text textarea tfoot
    the thead this tile times title toggle tool tools top track transform transition transparent true
    type under underline unit upper url usemap valign value verdana vertical view viewport visibility
    visible visited vlink void vspace weight white width window word words wrap wrapper www xhtml xmlns
    yellow
"""
_PLAIN = """
    account actions alert alerts also amazon android apr april are aug august bank best bill billing
    book box business but buy call can card care cash center chat check city click client club code com
    company contact copy credit customer customers daily data day days dead deal deals dear dec december
    demo dev development email emails event events example feb february finance first free fri friday
    friend friends fun game games get gift gmail good google group has have hello help here high home
    hotmail house how human internet invoice jan january job jobs join jul july jun june life live login
    looking love mail mails man manager mar march market marketing may media member members mon monday
    money month more music net new news newsletter noreply not nov november now oct october offer office
    online order orders our out outlook own partner pay payment people person phone photo please post
    press price prices product products profile project promo real registered research reservation
    reservations reward sale sales sat saturday save school see sep september service services shipping
    shop site social soft software someone special staff star store student sun sunday support team tech
    technical test tester testing thank thanks that the them they thu thursday today tomorrow trade
    training travel tue tuesday two use user users wed wednesday week weekly welcome what when who will
    win winner work world yahoo year you your
"""
_REPORTS = """
    activity addr amber analysis answer asked asn attribute attributes authenticated between bitcoin
    broken bulk bundle came campaign category characteristics characters clear clock codes comment
    confidence contacts contains copies correlation country created definition distribution domains done
    evidence fail files first fraud fraudulent from generated green hash helo host hostname hosts
    identifier identity ids incidents indicator indicators info its labels last level links longer mail
    mailer mailfrom many marking md5 message messaging modified name names object objectreference
    objects observed org orgc pattern payload phishing phones port printable program published questions
    red redacted ref refs relation relationship replaced reply report reported reporter reports revoked
    rfc rspamd sample scores sha sha1 sha256 sharing sighting signatures size smtp source spam spamcop
    spamd spammer spamtrap spamtraps spec subject submitted such suspicious tells template there
    therefore these though threat time timestamp tlp type unsolicited until uri url utc uuid valid value
    verifies verify version virus wallets was weight well white write written xarf
"""
"""What our own reports say, and others about us."""
# fmt: on
_SPLIT = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"[0-9]{1,4}")


def _words() -> frozenset[str]:
    said = {*_MAIL.split(), *_MARKUP.split(), *_PLAIN.split(), *_REPORTS.split(), *ROLES, *name2codepoint}
    for alias, name in encodings.aliases.aliases.items():
        said.update((alias, name, *_SPLIT.split(alias)))
    for suffix, kind in mimetypes.types_map.items():
        said.update((suffix[1:], *_SPLIT.split(kind)))
    return frozenset(word.lower().replace("_", "-") for word in said)


_WORDS = _words()


def common(word: str) -> bool:
    """Whether a word in lower case, alone, stands in mail for other reasons than that a trap is called so.

    Header names, MIME types, charsets, HTML, CSS and what everybody writes; numbers as short as years;
    one letter again and again.
    """
    if word in _WORDS or len(set(_SPLIT.sub("", word))) == 1:
        return True
    return all(not part or part in _WORDS or _NUMBER.fullmatch(part) for part in _SPLIT.split(word))
