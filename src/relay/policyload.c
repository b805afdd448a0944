/* policyload: the recipient policies and the recipients of the database, as the
 * policy room wants them. Read again only when their version has moved. */
#include "room.h"

#include "postern/policystore.h"
#include "postern/recipientstore.h"

bool
policyload(struct relay *r, struct err *err)
{
	struct directory *loaded = NULL;
	uint64_t version = 0;

	if (!policystore_version(r->reader, &version, err))
		return false;
	if (r->directory && version == r->policy_version)
		return true;
	if (!directory_load(r->reader, &loaded, &version, err))
		return false;
	directory_free(r->directory);
	r->directory = loaded;
	r->policies = directory_policies(loaded);
	r->policy_version = version;
	if (r->dispatch) {
		dispatch_reconsider(r->dispatch);
		left_look(r);
	}
	return true;
}
