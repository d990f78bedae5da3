"""What people do with a merged model: open it, ask it, take it elsewhere."""
