#include "sql.h"

#include <stddef.h>

/* Recipient states are those of enum queue_state: below 3 is work for queue_due,
 * below 4 is open. The numbers stand in partial indices, so they never change.
 *
 * Cheap on purpose: a message costs one row in each of message, body, recipient
 * (without rowid) and origin (without rowid), and one entry in due. What changes
 * is only the recipient; message rows are never touched again, and a body row
 * exists exactly as long as a recipient is open. Message-IDs have no index: they
 * are looked for by people, newest first, and an index on them would cost every
 * message a page of the log. */
static const char schema_1[] =
		"CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
		"INSERT INTO meta VALUES ('policies', 1);"
		"CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		" listings INTEGER NOT NULL DEFAULT 0);"
		"CREATE TABLE hop (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);"
		"CREATE TABLE message (id INTEGER PRIMARY KEY, account INTEGER REFERENCES account,"
		" uidl TEXT, source TEXT, sender TEXT, message_id TEXT, size INTEGER NOT NULL,"
		" arrived_ms INTEGER NOT NULL, flags INTEGER NOT NULL, route TEXT);"
		"CREATE TABLE body (id INTEGER PRIMARY KEY REFERENCES message, size INTEGER NOT NULL,"
		" top BLOB NOT NULL, bytes BLOB);"
		"CREATE INDEX spooled ON body (size) WHERE bytes IS NULL;"
		"CREATE TABLE recipient (message INTEGER NOT NULL, seq INTEGER NOT NULL, address TEXT,"
		" state INTEGER NOT NULL, hop INTEGER NOT NULL, next_ms INTEGER NOT NULL,"
		" attempts INTEGER NOT NULL, last_ms INTEGER NOT NULL, code INTEGER NOT NULL,"
		" host TEXT, reply TEXT, reason TEXT, PRIMARY KEY (message, seq)) WITHOUT ROWID;"
		"CREATE INDEX due ON recipient (hop, next_ms) WHERE state < 3;"
		"CREATE INDEX held ON recipient (message) WHERE state = 3;"
		"CREATE TABLE attempt (message INTEGER NOT NULL, seq INTEGER NOT NULL,"
		" number INTEGER NOT NULL, at_ms INTEGER NOT NULL, state INTEGER NOT NULL,"
		" code INTEGER NOT NULL, host TEXT, reply TEXT,"
		" PRIMARY KEY (message, seq, number)) WITHOUT ROWID;"
		"CREATE TABLE origin (account INTEGER NOT NULL, uidl TEXT NOT NULL, id INTEGER NOT NULL,"
		" settled INTEGER NOT NULL, committed_ms INTEGER NOT NULL,"
		" gone_listing INTEGER NOT NULL, gone_ms INTEGER NOT NULL,"
		" PRIMARY KEY (account, uidl)) WITHOUT ROWID;"
		"CREATE TABLE poll (account INTEGER PRIMARY KEY REFERENCES account,"
		" started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL,"
		" ok INTEGER NOT NULL, event INTEGER NOT NULL, text TEXT, listed INTEGER NOT NULL,"
		" collected INTEGER NOT NULL, deleted INTEGER NOT NULL, skipped INTEGER NOT NULL,"
		" failed INTEGER NOT NULL, octets INTEGER NOT NULL, waiting INTEGER NOT NULL);"
		"CREATE TABLE policy (name TEXT PRIMARY KEY, priority INTEGER NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE policy_group (policy TEXT NOT NULL REFERENCES policy ON DELETE CASCADE,"
		" seq INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (policy, seq)) WITHOUT ROWID;"
		"CREATE TABLE policy_address (policy TEXT NOT NULL REFERENCES policy ON DELETE CASCADE,"
		" seq INTEGER NOT NULL, template TEXT NOT NULL, is_primary INTEGER NOT NULL,"
		" PRIMARY KEY (policy, seq)) WITHOUT ROWID;"
		"CREATE TABLE policy_domain (policy TEXT NOT NULL REFERENCES policy ON DELETE CASCADE,"
		" name TEXT NOT NULL, subdomains INTEGER NOT NULL, authoritative INTEGER NOT NULL,"
		" reject_unknown INTEGER NOT NULL, PRIMARY KEY (policy, name, subdomains)) WITHOUT ROWID;";

/* What the collector remembers: a digest of each message's header fields (a storm of
 * new unique-ids is told by it), its memory of each account, and the last sessions. */
static const char schema_2[] =
		"ALTER TABLE origin ADD COLUMN print INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE poll ADD COLUMN success_ms INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE poll ADD COLUMN waiting_octets INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE poll ADD COLUMN says TEXT;"
		"CREATE TABLE memo (account INTEGER PRIMARY KEY REFERENCES account,"
		" text TEXT NOT NULL);"
		"CREATE TABLE session (account INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
		" ok INTEGER NOT NULL, text TEXT NOT NULL,"
		" PRIMARY KEY (account, started_ms)) WITHOUT ROWID;";

/* Which recipient had which mail (E7), found by digests alone; keys are random, so ages
 * have an index for the sake of STORE_PRUNE, which only grows at its end. */
#define SCHEMA_LEDGER \
	"CREATE TABLE ledger (key BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;" \
	"CREATE INDEX ledger_age ON ledger (id);" \
	"CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"

/* Which postmaster was told of which message, and how many notices each got in the window
 * that began then; `more` waits to be told. */
#define SCHEMA_NOTICES \
	"CREATE TABLE notice (postmaster TEXT PRIMARY KEY, began_ms INTEGER NOT NULL," \
	" sent INTEGER NOT NULL, more INTEGER NOT NULL) WITHOUT ROWID;" \
	"CREATE TABLE notice_about (message INTEGER NOT NULL, postmaster TEXT NOT NULL," \
	" PRIMARY KEY (message, postmaster)) WITHOUT ROWID;"

/* Persons and lists, and what a recipient of a message was asked for as. An alias is
 * one whatever the case of its letters. And whom mail for nobody is for from now on, as
 * somebody has said (`unrouted assign --rule`), by the account's name: a rule may outlive its
 * row in account, and come before it. */
static const char schema_3[] =
		"ALTER TABLE recipient ADD COLUMN asked TEXT;"
		"ALTER TABLE recipient ADD COLUMN asked_list INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE policy_domain ADD COLUMN subaddress TEXT DEFAULT '+';"
		"CREATE TABLE directory (alias TEXT PRIMARY KEY COLLATE NOCASE, given TEXT,"
		" surname TEXT, display TEXT, own TEXT COLLATE NOCASE) WITHOUT ROWID;"
		"CREATE INDEX directory_own ON directory (own) WHERE own IS NOT NULL;"
		"CREATE TABLE directory_group (alias TEXT NOT NULL COLLATE NOCASE"
		" REFERENCES directory ON DELETE CASCADE, seq INTEGER NOT NULL,"
		" name TEXT NOT NULL, PRIMARY KEY (alias, seq)) WITHOUT ROWID;"
		"CREATE TABLE directory_member (alias TEXT NOT NULL COLLATE NOCASE"
		" REFERENCES directory ON DELETE CASCADE, seq INTEGER NOT NULL,"
		" name TEXT NOT NULL, PRIMARY KEY (alias, seq)) WITHOUT ROWID;"
		"CREATE TABLE alias_rule (account TEXT NOT NULL, match TEXT NOT NULL,"
		" target TEXT NOT NULL, made_ms INTEGER NOT NULL,"
		" PRIMARY KEY (account, match, target)) WITHOUT ROWID;" SCHEMA_NOTICES
				SCHEMA_LEDGER;

/* Where the recipient stands in the message that brought the mail; -1, where that was not
 * written down, finds nobody: he has it. */
static const char schema_4[] =
		"ALTER TABLE ledger ADD COLUMN seq INTEGER NOT NULL DEFAULT -1;";

/* A digest (postern/sum.h) of the octets that came: of bytes, or of the spool file. NULL in
 * rows of older states: those are not checked. And what was found to be wrong with them, and
 * whether that was said (5009). And which ids were given out by when, on the steady clock:
 * history and ledger end at such a mark. Beside it stand 'steady' and 'steady_wall' in meta:
 * steady.c. */
static const char schema_5[] =
		"ALTER TABLE body ADD COLUMN sum BLOB;"
		"ALTER TABLE body ADD COLUMN damage TEXT;"
		"ALTER TABLE body ADD COLUMN damage_told INTEGER NOT NULL DEFAULT 0;"
		"CREATE TABLE mark (at_ms INTEGER PRIMARY KEY, id INTEGER NOT NULL);";

/* Where a policy comes from (enum policystore_source, and the file), which of its domains were
 * added by hand; how a policy's templates spell (`spelling`); how often an account was told to go on
 * (`accounts resume`); and what of it was asked for at once (`accounts retry`), a message or
 * (uidl empty) all: `asked` rises with each. */
static const char schema_6[] =
		"ALTER TABLE policy ADD COLUMN source INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE policy ADD COLUMN file TEXT;"
		"ALTER TABLE policy ADD COLUMN german INTEGER NOT NULL DEFAULT 0;"
		"ALTER TABLE policy_domain ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;"
		"CREATE TABLE resumed (account TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE retry (account TEXT NOT NULL, uidl TEXT NOT NULL, asked INTEGER NOT NULL,"
		" PRIMARY KEY (account, uidl)) WITHOUT ROWID;";

const char *const schema_steps[SCHEMA_VERSION] = { schema_1, schema_2, schema_3,
	schema_4, schema_5, schema_6 };

#define MESSAGE_COLUMNS \
	"m.id, a.name, m.uidl, m.source, m.sender, m.message_id, m.size, m.arrived_ms, m.flags," \
	" EXISTS (SELECT 1 FROM body b WHERE b.id = m.id)"
#define RECIPIENT_COLUMNS \
	"r.seq, r.state, r.attempts, r.code, r.next_ms, r.last_ms, r.address, h.key, r.host," \
	" r.reply, r.reason, r.asked, r.asked_list"
#define BODY_LOST "5.3.0 Body lost"
/* It came to nothing, so whoever comes next is no copy: it bounced, stands in Badmail, was
 * removed, or its body is damaged (or was lost, as schema 4 put it). */
#define LEDGER_LOST \
	"EXISTS (SELECT 1 FROM recipient r WHERE r.message = ledger.id AND r.seq = ledger.seq" \
	" AND (r.state IN (2, 5, 6) OR r.state < 4 AND EXISTS (SELECT 1 FROM body b" \
	" WHERE b.id = r.message AND b.damage IS NOT NULL)" \
	" OR r.state = 3 AND r.reply = '" BODY_LOST "'))"
#define LIST_FILTER \
	" AND (?2 < 0 OR EXISTS (SELECT 1 FROM recipient r WHERE r.message = m.id AND r.state = ?2))" \
	" AND (?3 IS NULL OR EXISTS (SELECT 1 FROM recipient r WHERE r.message = m.id" \
	" AND in_domain(r.address, ?3)))"

const char *const sql_text[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_SAVEPOINT] = "SAVEPOINT job",
	[SQL_RELEASE] = "RELEASE job",
	[SQL_ROLLBACK_TO] = "ROLLBACK TO job",

	[SQL_PAGES] = "PRAGMA page_count",
	[SQL_PAGES_SPARE] = "PRAGMA freelist_count",
	[SQL_SHRINKS] = "PRAGMA auto_vacuum",
	[SQL_SHRINK] = "PRAGMA incremental_vacuum(64)",

	[SQL_ACCOUNT_FIND] = "SELECT id FROM account WHERE name = ?",
	[SQL_ACCOUNT_ADD] = "INSERT INTO account (name) VALUES (?)",
	[SQL_HOP_FIND] = "SELECT id FROM hop WHERE key = ?",
	[SQL_HOP_ADD] = "INSERT INTO hop (key) VALUES (?)",
	/* An adopted one was never here: "already have it" would lead to its deletion. */
	[SQL_ORIGIN_ADD] =
			"INSERT INTO origin VALUES (?, ?, ?, 0, ?, 0, 0, ?) ON CONFLICT DO UPDATE SET"
			" id = excluded.id, settled = 0, committed_ms = excluded.committed_ms,"
			" print = excluded.print WHERE settled = 2",
	[SQL_ORIGIN_FIND] =
			"SELECT o.id, o.settled, o.committed_ms FROM origin o WHERE o.account ="
			" (SELECT id FROM account WHERE name = ?) AND o.uidl = ?",
	[SQL_MESSAGE_ADD] = "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[SQL_BODY_ADD] =
			"INSERT INTO body (id, size, top, bytes, sum) VALUES (?, ?, ?, ?, ?)",
	[SQL_RECIPIENT_ADD] =
			"INSERT INTO recipient (message, seq, address, state, hop, next_ms, attempts,"
			" last_ms, code, reply, reason, asked, asked_list)"
			" VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?)",
	/* Changes nothing when it is there, not as old as ?4, and not lost. */
	[SQL_LEDGER_ADD] =
			"INSERT INTO ledger VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET"
			" id = excluded.id, seq = excluded.seq WHERE id <= ?4 OR " LEDGER_LOST,
	[SQL_LEDGER_FIND] =
			"SELECT id FROM ledger WHERE key = ?1 AND id > ?2 AND NOT " LEDGER_LOST,

	[SQL_ATTEMPT_KEEP] =
			"INSERT INTO attempt SELECT message, seq, attempts, last_ms, state, code,"
			" host, reply FROM recipient"
			" WHERE message = ? AND seq = ? AND state < 4 AND attempts > 0",
	[SQL_ATTEMPTED] =
			"UPDATE recipient SET state = ?3, next_ms = ?4, hop = coalesce(?5, hop),"
			" reason = coalesce(?6, reason), attempts = attempts + 1, last_ms = ?7,"
			" code = ?8, host = ?9, reply = ?10"
			" WHERE message = ?1 AND seq = ?2 AND state < 4",
	[SQL_MOVED] = "UPDATE recipient SET state = ?3, next_ms = ?4, hop = coalesce(?5, hop),"
		      " reason = coalesce(?6, reason)"
		      " WHERE message = ?1 AND seq = ?2 AND state < 4",
	[SQL_OPEN_AFTER] =
			"SELECT 1 FROM recipient WHERE message = ? AND seq > ? AND state < 4 LIMIT 1",
	[SQL_BODY_SPOOLED] = "SELECT bytes IS NULL FROM body WHERE id = ?",
	[SQL_BODY_DELETE] = "DELETE FROM body WHERE id = ?",
	[SQL_BODY_DAMAGED] = "UPDATE body SET damage = ?2 WHERE id = ?1",
	[SQL_BODY_TOLD] = "UPDATE body SET damage = ?2, damage_told = 1"
			  " WHERE id = ?1 AND damage_told = 0",
	/* Who is still to get it is told now that nobody will; nobody can be named any more for
	 * what is held, nor could whoever is. */
	[SQL_DAMAGED_DUE] =
			"UPDATE recipient SET next_ms = ?2, hop = iif(state = 3, ?3, hop),"
			" reply = iif(state = 3, ?4, reply), reason = iif(state = 3, 'general', reason),"
			" state = iif(state = 3, 2, state) WHERE message = ?1 AND state IN (0, 3)",
	/* Still at the provider, as far as is known here: the next poll collects it again. */
	[SQL_DAMAGED_ORIGIN] =
			"DELETE FROM origin WHERE id = ?1 AND settled = 0 AND gone_listing = 0"
			" AND (account, uidl) = (SELECT account, uidl FROM message WHERE id = ?1)",

	/* What waits to be told is told before the window begins anew; nor does a clock that
	 * was set back make it longer. */
	[SQL_NOTICE_OPEN] =
			"INSERT INTO notice VALUES (?1, ?2, 0, 0) ON CONFLICT DO UPDATE SET"
			" began_ms = ?2, sent = 0 WHERE more = 0 AND (began_ms <= ?3 OR began_ms > ?2)",
	[SQL_NOTICE_ABOUT] =
			"INSERT INTO notice_about VALUES (?, ?) ON CONFLICT DO NOTHING",
	[SQL_NOTICE_SENT] =
			"UPDATE notice SET sent = sent + 1 WHERE postmaster = ? AND sent < ?",
	[SQL_NOTICE_MORE] = "UPDATE notice SET more = more + 1 WHERE postmaster = ?",
	[SQL_NOTICE_DUE] =
			"SELECT postmaster, began_ms, more FROM notice WHERE more > 0"
			" AND (began_ms <= ?1 OR began_ms > ?2) ORDER BY postmaster LIMIT ?3",
	[SQL_NOTICE_DIGEST] = "UPDATE notice SET began_ms = ?4, sent = ?5, more = 0"
			      " WHERE postmaster = ?1 AND began_ms = ?2 AND more = ?3",

	[SQL_ORIGIN_SETTLE] =
			"UPDATE origin SET settled = 1 WHERE account = ? AND uidl = ?",
	[SQL_ORIGIN_LISTED] = "UPDATE account SET listings = listings + 1 WHERE id = ?",
	[SQL_ORIGIN_ABSENT] = "UPDATE origin SET gone_ms = ?3, gone_listing ="
			      " (SELECT max(listings, 1) FROM account WHERE id = ?1)"
			      " WHERE account = ?1 AND uidl = ?2 AND gone_listing = 0",
	[SQL_ORIGIN_BACK] = "UPDATE origin SET gone_listing = 0, gone_ms = 0"
			    " WHERE account = ? AND uidl = ?",
	[SQL_ORIGIN_FORGET] =
			"DELETE FROM origin WHERE account = ?1 AND uidl = ?2"
			" AND gone_listing > 0 AND gone_ms <= ?3 AND gone_listing <"
			" (SELECT listings FROM account WHERE id = ?1)",
	[SQL_ORIGIN_ADOPT] = "INSERT INTO origin VALUES (?, ?, 0, 2, ?, 0, 0, 0)"
			     " ON CONFLICT DO UPDATE SET settled = 2 WHERE settled = 1",
	[SQL_ORIGIN_UNCLAIM] = "DELETE FROM origin WHERE account = ? AND uidl = ?",
	[SQL_ORIGIN_WALK] =
			"SELECT uidl, id, settled, committed_ms, gone_listing, gone_ms, print FROM origin"
			" WHERE account = (SELECT id FROM account WHERE name = ?) ORDER BY uidl",
	[SQL_ORIGIN_COLLECTED] =
			"SELECT count(*) FROM message WHERE id >= ?2 AND arrived_ms >= ?3"
			" AND account = (SELECT id FROM account WHERE name = ?1)",
	[SQL_ORIGIN_COLLECTED_ALL] =
			"SELECT a.name, count(*) FROM message m JOIN account a ON a.id = m.account"
			" WHERE m.id >= ?1 AND m.arrived_ms >= ?2 GROUP BY a.name ORDER BY a.name",
	[SQL_POLL_PUT] =
			"INSERT OR REPLACE INTO poll VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
			" ?12, ?13, ?14, CASE WHEN ?5 THEN ?3 ELSE"
			" coalesce((SELECT success_ms FROM poll WHERE account = ?1), 0) END, ?15,"
			/* It is not heard in every session. */
			" coalesce(?16, (SELECT says FROM poll WHERE account = ?1)))",
	[SQL_POLL_ALL] =
			"SELECT a.name, p.started_ms, p.ended_ms, p.next_ms, p.ok, p.event, p.text,"
			" p.listed, p.collected, p.deleted, p.skipped, p.failed, p.octets, p.waiting,"
			" p.success_ms, p.waiting_octets, p.says"
			" FROM poll p JOIN account a ON a.id = p.account ORDER BY a.name",
	[SQL_MEMO_PUT] = "INSERT OR REPLACE INTO memo VALUES (?, ?)",
	[SQL_MEMO_DROP] = "DELETE FROM memo WHERE account = ?",
	[SQL_MEMO_GET] = "SELECT text FROM memo WHERE account ="
			 " (SELECT id FROM account WHERE name = ?)",
	[SQL_SESSION_PUT] = "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)",
	/* Failed ones stay a little longer: they are what people look for. */
	[SQL_SESSION_PRUNE] =
			"DELETE FROM session WHERE account = ?1 AND started_ms NOT IN (SELECT started_ms"
			" FROM session WHERE account = ?1 ORDER BY started_ms DESC LIMIT ?2)"
			" AND started_ms NOT IN (SELECT started_ms FROM session WHERE account = ?1"
			" AND ok = 0 ORDER BY started_ms DESC LIMIT ?3)",
	[SQL_SESSION_ALL] =
			"SELECT started_ms, ok, text FROM session WHERE account ="
			" (SELECT id FROM account WHERE name = ?) ORDER BY started_ms",

	[SQL_META_GET] = "SELECT value FROM meta WHERE key = ?",
	[SQL_META_PUT] = "INSERT OR REPLACE INTO meta VALUES (?, ?)",
	[SQL_MARK_ADD] = "INSERT OR REPLACE INTO mark VALUES (?, ?)",
	[SQL_MARK_AT] = "SELECT id FROM mark WHERE at_ms <= ? ORDER BY at_ms DESC LIMIT 1",
	[SQL_MARK_LAST] = "SELECT max(at_ms) FROM mark",
	[SQL_MARK_PRUNE] = "DELETE FROM mark WHERE at_ms <"
			   " (SELECT max(at_ms) FROM mark WHERE at_ms <= ?)",
	/* One for each day that history is kept, by the times in the ids. */
	[SQL_MARK_BEFORE] =
			"WITH RECURSIVE d(at_ms) AS (SELECT ?1 - 86400000 UNION ALL"
			" SELECT at_ms - 86400000 FROM d WHERE at_ms > ?1 - ?2)"
			" INSERT OR REPLACE INTO mark SELECT at_ms, at_ms << 16 FROM d"
			" WHERE ?1 > 0 AND at_ms > 0",
	[SQL_LAST_KNOWN] = "SELECT coalesce((SELECT max(ended_ms) FROM poll),"
			   " (SELECT max(id) >> 16 FROM message), 0)",

	/* Ids rise, so history ends at one of them. */
	[SQL_PRUNE_FIND] =
			"SELECT id FROM message WHERE id <= ?1"
			" AND NOT EXISTS (SELECT 1 FROM body b WHERE b.id = message.id)"
			" AND id < (SELECT max(id) FROM message) ORDER BY id LIMIT ?2",
	[SQL_PRUNE_MESSAGE] = "DELETE FROM message WHERE id = ?",
	[SQL_PRUNE_RECIPIENTS] = "DELETE FROM recipient WHERE message = ?",
	[SQL_PRUNE_ATTEMPTS] = "DELETE FROM attempt WHERE message = ?",
	[SQL_PRUNE_NOTICES] = "DELETE FROM notice_about WHERE message = ?",
	[SQL_PRUNE_LEDGER] =
			"DELETE FROM ledger WHERE key IN (SELECT key FROM ledger"
			" INDEXED BY ledger_age WHERE id <= ?1 ORDER BY id LIMIT ?2)",
	[SQL_HOP_COUNT] = "SELECT count(*) FROM hop",
	/* By number a recipient has no index: one walk over all of them. */
	[SQL_PRUNE_HOPS] =
			"DELETE FROM hop WHERE id NOT IN (SELECT DISTINCT hop FROM recipient)",
	[SQL_LAST_ID] = "SELECT max(id) FROM message",
	[SQL_SPOOLED_WALK] =
			"SELECT id, size - length(top), sum FROM body WHERE bytes IS NULL"
			" AND damage IS NULL ORDER BY id DESC",
	[SQL_OPEN_COUNT] = "SELECT count(DISTINCT message), count(*) FROM"
			   " (SELECT message FROM recipient WHERE state < 3"
			   " UNION ALL SELECT message FROM recipient WHERE state = 3)",
	[SQL_OPEN_OLDEST] =
			"SELECT arrived_ms FROM message WHERE id = (SELECT min(id) FROM body)",

	/* As in queue_heaps: queued is 0, or 1 when it was tried. */
	[SQL_HEAPS] = "SELECT CASE WHEN r.state > 0 THEN r.state + 1 ELSE r.attempts > 0 END AS h,"
		      " count(DISTINCT m.id), count(DISTINCT iif(m.arrived_ms > ?1, m.id, NULL)),"
		      " count(DISTINCT iif(m.arrived_ms > ?2, m.id, NULL)),"
		      " count(DISTINCT iif(r.reason = 'unrouted' AND r.state = 3, m.id, NULL)),"
		      " min(m.arrived_ms) FROM body b CROSS JOIN message m ON m.id = b.id"
		      " CROSS JOIN recipient r ON r.message = m.id WHERE r.state < 4 GROUP BY h",

	[SQL_HOP_NEXT] = "SELECT hop, next_ms FROM recipient INDEXED BY due"
			 " WHERE state < 3 AND hop > ? ORDER BY hop, next_ms LIMIT 1",
	[SQL_HOP_KEY] = "SELECT key FROM hop WHERE id = ?",
	[SQL_DUE_NEXT] =
			"SELECT next_ms, message FROM recipient INDEXED BY due WHERE state < 3"
			" AND hop = ?1 AND (next_ms, message) > (?2, ?3) AND next_ms <= ?4"
			" ORDER BY next_ms, message LIMIT 1",
	[SQL_DUE_RECIPIENTS] =
			"SELECT " RECIPIENT_COLUMNS " FROM recipient r LEFT JOIN hop h"
			" ON h.id = r.hop WHERE r.message = ? AND +r.hop = ? AND +r.state < 3"
			" AND +r.next_ms <= ? ORDER BY r.seq LIMIT ?",
	[SQL_MESSAGE_GET] =
			"SELECT " MESSAGE_COLUMNS " FROM message m LEFT JOIN account a"
			" ON a.id = m.account WHERE m.id = ?",
	[SQL_MESSAGE_SOURCE] =
			"SELECT a.name, m.arrived_ms FROM message m JOIN account a"
			" ON a.id = m.account WHERE m.id = ?",
	[SQL_RECIPIENTS_ALL] =
			"SELECT " RECIPIENT_COLUMNS " FROM recipient r LEFT JOIN hop h"
			" ON h.id = r.hop WHERE r.message = ? ORDER BY r.seq",
	[SQL_ROUTE_GET] = "SELECT route FROM message WHERE id = ?",
	[SQL_ATTEMPTS] =
			"SELECT seq, number, at_ms, state, code, host, reply FROM attempt"
			" WHERE message = ?1 UNION ALL SELECT seq, attempts, last_ms, state, code,"
			" host, reply FROM recipient WHERE message = ?1 AND attempts > 0 ORDER BY 1, 2",
	[SQL_LIST_OPEN] =
			"SELECT " MESSAGE_COLUMNS
			" FROM body o CROSS JOIN message m ON m.id = o.id"
			" LEFT JOIN account a ON a.id = m.account WHERE o.id > ?1" LIST_FILTER
			" ORDER BY o.id LIMIT ?4",
	[SQL_LIST_ALL] = "SELECT " MESSAGE_COLUMNS " FROM message m LEFT JOIN account a"
			 " ON a.id = m.account WHERE m.id > ?1" LIST_FILTER
			 " ORDER BY m.id LIMIT ?4",
	[SQL_FIND_MESSAGE_ID] =
			"SELECT id FROM message WHERE message_id = ? ORDER BY id DESC LIMIT ?",
	[SQL_FIND_UIDL] =
			"SELECT id FROM message WHERE account = (SELECT id FROM account"
			" WHERE name = ?) AND uidl = ? ORDER BY id DESC LIMIT ?",
	/* '0' is the character behind '/'. */
	[SQL_REPLAYS] = "SELECT id, uidl, arrived_ms FROM message WHERE account = (SELECT id"
			" FROM account WHERE name = ':badmail') AND uidl > ?1 || '/'"
			" AND uidl < ?1 || '0' ORDER BY id LIMIT ?2",
	/* The partial index `held` is small, whatever the history, and in the order of ids. */
	[SQL_UNROUTED] =
			"SELECT " MESSAGE_COLUMNS
			" FROM recipient r INDEXED BY held CROSS JOIN message m ON m.id = r.message"
			" LEFT JOIN account a ON a.id = m.account WHERE r.state = 3"
			" AND r.reason = 'unrouted' AND r.message > ?1 GROUP BY r.message"
			" ORDER BY r.message LIMIT ?2",
	[SQL_COLLECTED_AFTER] =
			"SELECT m.id FROM message m WHERE m.id > ?1 AND m.arrived_ms >= ?2 AND m.account"
			" IN (SELECT id FROM account WHERE name NOT LIKE ':%' AND (?3 IS NULL OR"
			" name = ?3)) ORDER BY m.id LIMIT ?4",
	[SQL_ASSIGN_HELD] =
			"UPDATE recipient SET state = 6, reason = ?2, next_ms = ?3 WHERE message = ?1"
			" AND state = 3 AND reason = 'unrouted'"
			" AND EXISTS (SELECT 1 FROM body b WHERE b.id = ?1)",
	[SQL_ASSIGN_TO] =
			"INSERT INTO recipient (message, seq, address, state, hop, next_ms, attempts,"
			" last_ms, code, asked, asked_list) SELECT ?1, max(seq) + 1, ?2, 0, ?3, ?4, 0, 0, 0,"
			" ?5, ?6 FROM recipient"
			" WHERE message = ?1",
	[SQL_ALIAS_RULES] =
			"SELECT account, match, target, made_ms FROM alias_rule WHERE account = ?"
			" ORDER BY made_ms, match, target",
	[SQL_ALIAS_RULES_ALL] = "SELECT account, match, target, made_ms FROM alias_rule"
				" ORDER BY account, made_ms, match, target",
	[SQL_ALIAS_RULE_ADD] =
			"INSERT INTO alias_rule VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
	[SQL_ALIAS_RULE_FORGET] =
			"DELETE FROM alias_rule WHERE account = ? AND match = ?",
	[SQL_BODY_GET] = "SELECT size, top, bytes, sum, damage FROM body WHERE id = ?",
	[SQL_RETIME] = "UPDATE recipient INDEXED BY due SET next_ms = ?2"
		       " WHERE state < 3 AND hop = ?1 AND next_ms > ?2",
	[SQL_RETRY_ONE] =
			"UPDATE recipient SET next_ms = ?1 WHERE state < 3 AND message = ?2",
	[SQL_RETRY_DOMAIN] = "UPDATE recipient SET next_ms = ?1"
			     " WHERE state < 3 AND in_domain(address, ?2)",
	[SQL_RETRY_ALL] = "UPDATE recipient SET next_ms = ?1 WHERE state < 3",

	[SQL_VERSION_GET] = "SELECT value FROM meta WHERE key = 'policies'",
	[SQL_VERSION_RAISE] =
			"UPDATE meta SET value = value + 1 WHERE key = 'policies'",
	[SQL_POLICIES] =
			"SELECT name, priority, source, file, german FROM policy ORDER BY name = 'default', priority, name",
	[SQL_POLICY_GROUPS] =
			"SELECT name FROM policy_group WHERE policy = ? ORDER BY seq",
	[SQL_POLICY_ADDRESSES] = "SELECT template, is_primary FROM policy_address"
				 " WHERE policy = ? ORDER BY seq",
	[SQL_POLICY_DOMAINS] =
			"SELECT name, subdomains, authoritative, reject_unknown, subaddress, by_hand"
			" FROM policy_domain WHERE policy = ? ORDER BY name, subdomains",
	[SQL_POLICY_PUT] = "INSERT INTO policy VALUES (?, ?, ?, ?, ?)",
	[SQL_POLICY_MAKE] =
			"INSERT INTO policy VALUES (?, ?, 0, NULL, 0) ON CONFLICT DO NOTHING",
	[SQL_POLICY_DELETE] = "DELETE FROM policy WHERE name = ?",
	[SQL_POLICY_GROUP_PUT] = "INSERT INTO policy_group VALUES (?, ?, ?)",
	[SQL_POLICY_ADDRESS_PUT] = "INSERT INTO policy_address VALUES (?, ?, ?, ?)",
	[SQL_POLICY_DOMAIN_PUT] =
			"INSERT OR REPLACE INTO policy_domain VALUES (?, ?, ?, ?, ?, ?, ?)",
	/* What a file says is left alone. */
	[SQL_POLICY_DOMAIN_ADD] =
			"INSERT INTO policy_domain VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
			" SET authoritative = excluded.authoritative, reject_unknown ="
			" excluded.reject_unknown, subaddress = excluded.subaddress WHERE by_hand = 1",
	[SQL_POLICY_DOMAIN_DELETE] =
			"DELETE FROM policy_domain WHERE name = ? AND subdomains = ?",

	[SQL_DIRECTORY] =
			"SELECT alias, given, surname, display, own FROM directory ORDER BY alias",
	[SQL_DIRECTORY_GROUPS] =
			"SELECT alias, name FROM directory_group ORDER BY alias, seq",
	[SQL_DIRECTORY_MEMBERS] =
			"SELECT alias, name FROM directory_member ORDER BY alias, seq",
	[SQL_DIRECTORY_PUT] = "INSERT INTO directory VALUES (?, ?, ?, ?, ?)",
	[SQL_DIRECTORY_GROUP_PUT] = "INSERT INTO directory_group VALUES (?, ?, ?)",
	[SQL_DIRECTORY_MEMBER_PUT] = "INSERT INTO directory_member VALUES (?, ?, ?)",
	[SQL_DIRECTORY_DELETE] = "DELETE FROM directory WHERE alias = ?",
	[SQL_DIRECTORY_SHARED] =
			"SELECT own, min(alias), max(alias) FROM directory"
			" WHERE own IS NOT NULL GROUP BY own HAVING count(*) > 1 LIMIT 1",
	[SQL_RESUMED] = "SELECT times FROM resumed WHERE account = ?",
	[SQL_RESUME] = "INSERT INTO resumed VALUES (?, 1)"
		       " ON CONFLICT DO UPDATE SET times = times + 1",
	[SQL_RETRIES] = "SELECT asked, uidl FROM retry WHERE account = ? AND asked > ?"
			" ORDER BY asked",
	[SQL_RETRY] = "INSERT INTO retry VALUES (?1, ifnull(?2, ''),"
		      " (SELECT ifnull(max(asked), 0) + 1 FROM retry WHERE account = ?1))"
		      " ON CONFLICT DO UPDATE SET asked = excluded.asked",
	[SQL_RETRY_SHED] = "DELETE FROM retry WHERE account = ?1 AND asked <"
			   " (SELECT max(asked) FROM retry WHERE account = ?1) - ?2",
	[SQL_SECRET_MAKE] = "INSERT INTO secret VALUES (?, ?) ON CONFLICT DO NOTHING",
	[SQL_SECRET_GET] = "SELECT value FROM secret WHERE name = ?",
};
