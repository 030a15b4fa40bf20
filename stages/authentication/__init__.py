"""Who really sent a message: SPF, DKIM, ARC and DMARC."""
