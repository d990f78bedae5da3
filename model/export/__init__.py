"""Take a merged model elsewhere: one file a format."""
