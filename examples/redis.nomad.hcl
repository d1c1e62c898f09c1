# The same cache in present syntax: the group owns the network and the service.
job "cache" {
  datacenters = ["dc1"]

  group "redis" {
    count = 1

    network {
      port "db" {
        to = 6379
      }
    }

    service {
      name     = "redis"
      provider = "nomad"
      port     = "db"

      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "redis" {
      driver = "docker"

      config {
        image = "redis:7"
        ports = ["db"]
      }

      resources {
        cpu    = 200
        memory = 64
      }
    }
  }
}
