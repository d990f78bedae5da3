"""Other ways to run a merged model than PyTorch."""
