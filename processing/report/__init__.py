"""What is made for people to read: reports, tables of a spectrum, paragraphs of methods."""
