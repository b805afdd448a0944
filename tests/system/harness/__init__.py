"""What the system tests stand on: Postern as an administrator runs it, real
peers (Dovecot, Postfix) as ordinary processes, and peers that misbehave."""
