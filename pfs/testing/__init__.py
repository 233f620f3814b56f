"""Contract suites, fault injection and strategies, shipped so that other backends can prove themselves."""
