"""Power cuts, replayed: a run of Postern is recorded, then the disk is made as a cut at
any moment may have left it, and what was promised until then is looked for."""
