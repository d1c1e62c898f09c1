# An example job: one Redis server. Try it:
#
#   tumen job run example.nomad.hcl
#   tumen job status example
#
# A job says what shall run. Tumen finds machines for it and keeps it running.
job "example" {

  # A service shall run for ever. The other type is "batch": it runs to its end.
  type = "service"

  # The datacenters that may run the job; "*" allows all of them.
  datacenters = ["*"]

  # How a new version replaces the running one: one instance after the other, each of
  # which must stay healthy for ten seconds before the next one is touched.
  update {
    max_parallel      = 1
    min_healthy_time  = "10s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"
    auto_revert       = false
  }

  # The tasks of a group run side by side on one machine.
  group "cache" {

    # How many instances of the group shall run. Change it and run the file again.
    count = 1

    # What the group needs of the network. Without `static` the port on the machine is
    # chosen freely; `to` is the port on which the program listens in its container.
    network {
      port "db" {
        to = 6379
      }
    }

    # Registers every instance, so that others find it: tumen service info redis-cache
    service {
      name     = "redis-cache"
      provider = "nomad"
      tags     = ["global", "cache"]
      port     = "db"

      # An instance counts as healthy while its port accepts connections.
      check {
        name     = "alive"
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    # When a task ends by itself it is started again on the spot, at most twice within
    # half an hour. After that the whole instance is replaced.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # Disk space that the tasks of an instance share, in MB.
    ephemeral_disk {
      size = 300
    }

    # A task is one program.
    task "redis" {

      # What runs it. "raw_exec" runs a program of the machine without a container.
      driver = "docker"

      # What the driver shall do; the keys are the driver's own.
      config {
        image = "redis:7"
        ports = ["db"]

        # Images that need no login are pulled even when the stored login is refused.
        auth_soft_fail = true
      }

      # Environment variables. Tumen adds NOMAD_ADDR_db, NOMAD_ALLOC_ID and many more.
      env {
        GREETING = "hello"
      }

      # What the task may use: CPU in MHz, memory in MB.
      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
