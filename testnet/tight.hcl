# Two small clients: what does not fit is soon seen. Tasks of mock_driver take no real memory.
drivers = ["raw_exec", "mock_driver"]

clients {
  count     = 2
  cpu_mhz   = 1000
  memory_mb = 512
}
