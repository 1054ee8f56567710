"""The app: a page on which one draws digits and sees them read, and looks at the runs that one has made."""
