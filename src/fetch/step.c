/* A server whose answers do not match our commands. */
#include "postern/clock.h"
#include "session.h"

/* Its answers do not match our commands: it is asked one by one for some weeks. */
bool
pop_out_of_step(struct pop_session *s, struct span line)
{
	if (s->caps.pipelining)
		s->poll->memo->alone_until_ms = clock_wall_ms() + MEMO_HABIT_MS;
	return pop_odd(s, line);
}
