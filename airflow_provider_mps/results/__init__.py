"""What MPS answers, as values. Pure: nothing here sends or stores anything."""
