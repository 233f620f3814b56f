"""Where files come from and what they fed, through datums; and the same told to others as OpenLineage events."""
