"""The message of our own that scanners are probed with: whoever can judge it, can judge."""

PROBE = (
    b"From: <>\r\n"
    b"Subject: Are you well?\r\n"
    b"Message-ID: <probe@spamtrap.invalid>\r\n"
    b"\r\n"
    b"A trap asks whether you are there.\r\n"
)
