"""The playground in a browser: the simulated workspace and the simulated Dify as a page shows and drives them."""
