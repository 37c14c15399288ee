"""What measures serving: load, servers as processes, the ceiling of the machine, reports. Commands import it lazily."""
