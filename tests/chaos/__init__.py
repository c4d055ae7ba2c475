"""Real commands, ended at random: the same command goes on, with the output that it would have had."""
