"""What every room needs and none owns: errors, caches, where the configuration lies."""

from tamis.collisions import refuse_strangers

refuse_strangers()
