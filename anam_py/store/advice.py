"""What to do about damage, in the words of every message that tells of it."""

REPAIR = "repair it with HTMCore.repair(path), or restore a backup"
