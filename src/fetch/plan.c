#include "plan.h"

bool
pop_plan_expired(const struct pop_rules *rules, int64_t committed_ms)
{
	if (rules->keep_ms < 0)
		return false;
	return rules->keep_ms == 0 || rules->now_ms - committed_ms >= rules->keep_ms;
}

static enum pop_fate
one(const struct pop_rules *rules, const struct pop_message *m, size_t taken)
{
	if (m->known == POP_ADOPTED || m->kept)
		return POP_LEAVE;
	if (m->known == POP_COMMITTED && !m->changed)
		return pop_plan_expired(rules, (int64_t)m->committed_s * 1000)
				? POP_DELETE
				: POP_LEAVE;
	if (m->aside)
		return POP_ASIDE;
	if (rules->max_size > 0 && m->octets > rules->max_size)
		return rules->notice && !m->told ? POP_NOTICE : POP_OVERSIZE;
	/* Where nothing is deleted a nameless message comes again in the next
	 * session, so a limit would never let those behind it come. */
	bool limited = rules->max_per_session > 0 && (m->named || rules->keep_ms == 0);
	if (limited && taken >= rules->max_per_session)
		return POP_LATER;
	return m->known == POP_UNKNOWN ? POP_RETRIEVE : POP_VERIFY;
}

void
pop_plan_make(const struct pop_rules *rules, struct pop_message *messages, size_t n,
		struct pop_plan *out)
{
	*out = (struct pop_plan){ 0 };
	for (size_t i = 0; i < n; i++) {
		struct pop_message *m = &messages[i];
		size_t *count[] = {
			[POP_LEAVE] = &out->leave,
			[POP_RETRIEVE] = &out->retrieve,
			[POP_VERIFY] = &out->verify,
			[POP_DELETE] = &out->delete,
			[POP_OVERSIZE] = &out->oversize,
			[POP_NOTICE] = &out->notice,
			[POP_ASIDE] = &out->aside,
			[POP_LATER] = &out->later,
		};

		m->fate = (uint8_t)one(rules, m, out->retrieve + out->verify);
		*count[m->fate] += 1;
		out->fresh += m->known == POP_UNKNOWN ? 1 : 0;
	}
}
