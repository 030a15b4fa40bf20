"""Words that stand in mail to anybody: of headers, MIME, HTML and CSS, and what letters are made of.

A local part that is one of them gives nobody away by itself, and a message in which each of them was
masked would be no message any more. First names are none of them: they may well be a local part.
They are the words that most campaigns of a large corpus have in common, and those of the formats.
"""

from trap.traces import ROLES

_DIGITS = 6
"""Digits that tell somebody: fewer are a year, a price, a port."""
VOCABULARY = frozenset(
    """
    7bit 8bit able about above abuse accept access account accounts across act action active actually add
    added adding additional address addresses adjust admin ads aes after again against age agent ago align
    all allow almost along already also alt alternative always amount amp and anonymous another answer any
    anyone anything app apparently application apply apr april arc archive archived are area arial around
    arrival article ascii ask asp assistance attach attached attachment attempt attention audio aug august
    auth authenticated authentication auto autoconverted automatically available away back background
    background-color bad bank bar base base64 based basic bcc bcl because become been before begin being
    believe below best better between bgcolor big big5 bill billing bin binary bit bits biz black blank
    block blue body bold book border bordercolor both bottom bounce bounces boundary box brand break bring
    browser build built bulk business but button buy call called can cannot canvas card care career
    careers case cash cause cdt cell cellpadding cellspacing center cgi chance change changed changes
    charset check choice choose cip cipher city claim claimed class classes clean clear click client
    clients code col collapse color colspan column com come comes command comment comments communication
    communications community companies company compatible compauth complete computer configuration contact
    container contains content content-disposition content-transfer-encoding content-type control copy
    copyright correlation correlator cost could count country course cover create created credit css cst
    current currently customer customers daemon daily data database date day days deal dear dec december
    decoration default delayed delete deliver delivered delivered-to delivery delivery-status description
    designate designates designed desktop dest details dev developers development device diagnostic did
    didn different digest digital dir direct direction directly directory discuss discussion display
    disposition disposition-notification div dkim dmarc dns doctype document does doesn doing dollars
    domain domainkey don done donotreply down download drive drop dsl dtd due during each easily easy
    ecdhe edge editor edt edu ehlo either else email emails embed encapsulated encoding encrypted end
    endif enjoy enough enter envelope eop equiv error errors esmtp esmtps esmtpsa est etc even ever every
    everyone everything exactly example exchange exim exist experience express ext extra face fact fail
    failed failure false family far fast fax feature features feb february feedback feel fetchmail few
    fieldset file filename files filetime fill filter filtering final finally financial find fine first
    five fix fixed flag flags float flowed follow following follows font font-family font-size font-weight
    footer for forefront form format forward forwarded found four free fri friday friend friends from
    frontend ftp full fun function fund funds further future gb2312 general generated generator get gets
    getting gif give given global gmt going good got gov government great greylist group groups growing
    guaranteed guess guest had hand happy hard hardware has have having head header headers health hear
    height hello helo help helvetica her here hidden hide high him his home hope host hostmaster hosts
    hotel hours house hover how however href htm html http https huge idea iframe image images imap img
    immediately import importance important inc include included includes including incoming index
    industry info inform information inherit initial inline input install instead instructions insurance
    int interest interested interesting internal international internet interpolation into investment
    invoice invoked ipv isn iso iso-2022-jp iso-8859-1 issue issues its jan january javascript job jobs
    join jpeg jpg jul july jun june just keep key keywords kind know known koi8 label lang language large
    last late later latest law layout learn least left leftmargin legal legend length less let letter
    level life light like limited line line-height lines link links list list-unsubscribe listmaster lists
    listserv little live local localdomain localhost log logo long longer look looking looks loop lot love
    low ltr machine made mail mailbox mailer mailer-daemon mailerdaemon mailfrom mailing mailings mails
    mailscanner mailto main major make makes making manage management manager many mapi mar march margin
    marginheight marginwidth mark market marketing matter max max-width may maybe mean means media medium
    member members message message-id messages meta method middle might mil million milter mime
    mime-version mimeole min min-width mind minutes mixed mobile mode modern mon monday money month months
    more most move msmail mso mta much multi multipart multiple must mx1 mx2 name nav nbsp need needed
    needs net network neue never new news newsletter newsletters next nextpart nice no-reply nobody nofws
    non none nor noreply normal not note nothing notice notification nov november now ns1 ns2 null number
    numbers object oct octet october off offer offers office often old once one online only opacity open
    opendkim operating opportunity opt option options order orders org organization original originating
    other others our out outbound outgoing outline outlook over overflow own owner package padding
    padding-left padding-top page paid param part pass passed past patch path pay payload payment pcl pdf
    pdt people per permalink permanent permitted person personal pgp phishing phone php pickup pipermail
    place plain plan platform play please plus png point policy pop pop3 port position possible post
    postfix postmaster potential power pra pre precedence presentation press pretty price printable
    priority privacy private pro probably problem problems process processed prod produced product
    products professional program project protection protocol provide provided psp pst ptr public purchase
    put qmail qmqp quality question questions queue quick quite quot quote quoted quoted-printable radius
    rate rates rather rcpt rcpttodomain reach read reading ready real really reason receive received
    receiver receiving recent recipient recipients record ref references regards registered rel related
    relaxed relay release remember remote remove removed repeat replied reply report reporting request
    requested required research reserved response rest result results return return-path returned review
    rfc822 rgba right rights risk role roman root rowspan rpm rsa rule run running safe said sales same
    sans sat saturday save say says scale scanned schemas scl score screen script seal search second
    section secure security see seem seems seen select self sell send sender sending sent sep separate
    september serif server service services session set several sfp sfv sha share shop short should show
    sid side sign signature signed similar simple simply since sincerely single site sites size sizing
    small smtp smtps smtpsvc social software solid some someone something soon sorry sort source space
    spacing spam spamassassin span special specific spf sponsored src srv staff standard start started
    state static status step still stop storage store story stream street strong stuff style sub subject
    submit submitted subscribe subscribed subscription such sun sunday support sure svg system systems
    table tag tahoma take taken takes taking talk talking target tbody team tech technical technology
    telephone tell terms test testing text text-align text-decoration textarea tfoot than thank thanks
    that the thead their them then there these they thing things think this those though thought thousands
    thread three through thu thursday time times title tls today together too tool tools top topic
    topmargin total track trade transaction transcript transfer transform transitional transparent
    transport tried true trust try trying tue tuesday turn two txt type uid undefined under underline
    understand undisclosed unknown unprotected unsubscribe until untrusted update updates upon uppercase
    urgent url urn us-ascii use used useful user userid username users using utc utf utf-8 valid valign
    value verdana verification verified verify version vertical very via video view viewport virus
    visibility visit void wait waiting want wanted warning was way web webkit webmaster website wed
    wednesday week weight welcome well were what when where whether which while white whitelisted who
    whole why width will win window windows windows-1251 windows-1252 wish with within without won word
    words work working works world worth would wrap wrapper write writes wrong wrote www x-mailer xhtml
    xml xmlns year years yes yet you your yours yourself zip
    """.split()  # noqa: SIM905 (a list of a thousand quoted words is no easier to read)
)
"""In lower case."""


def common(word: str) -> bool:
    """Whether a word in lower case stands in mail to anybody, so that it gives nobody away by itself.

    >>> [common(word) for word in ("info", "href", "2024", "joe.miller", "john")]
    [True, True, True, False, False]
    """
    return word in ROLES or word in VOCABULARY or (word.isdigit() and len(word) < _DIGITS)
