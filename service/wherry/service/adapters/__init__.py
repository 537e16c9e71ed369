"""The outside world, one SDK to a module, named port_technology."""
