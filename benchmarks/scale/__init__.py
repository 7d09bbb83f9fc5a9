"""How cost grows with the number of components: fits of up to ten thousand of them."""
