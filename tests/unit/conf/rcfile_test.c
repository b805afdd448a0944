#include "check.h"

#include <stdio.h>
#include <string.h>

#include "postern/rcfile.h"

/* One account as a line, so that a case says all of it at once. */
static void
render_account(const struct rc_account *a, struct buf *out)
{
	static const char *const tls[] = { "implicit", "starttls", "none" };
	static const char *const auth[] = { "auto", "user", "plain", "login",
		"cram-md5", "apop", "xoauth2", "oauthbearer" };
	bool ok = buf_addf(out, "%s%s %s %s:%u %s %s", a->idle ? "#" : "", a->name,
			a->type == CONF_GLOBAL ? "global" : "user", a->server.name,
			a->server.port, tls[a->tls], a->user);

	if (a->password_kind == RC_PASSWORD_INLINE)
		ok = ok && buf_addf(out, " pw=%s", a->password);
	for (size_t i = 0; a->password_kind == RC_PASSWORD_COMMAND && a->argv[i]; i++)
		ok = ok && buf_addf(out, "%s[%s]", i ? "" : " run=", a->argv[i]);
	if (a->auth != CONF_AUTH_AUTO)
		ok = ok && buf_addf(out, " auth=%s", auth[a->auth]);
	ok = ok && buf_addf(out, " keep=%lld", (long long)a->keep_s);
	if (a->max_size)
		ok = ok && buf_addf(out, " max=%llu", (unsigned long long)a->max_size);
	if (a->every_s)
		ok = ok && buf_addf(out, " every=%lld", (long long)a->every_s);
	if (a->max_per_session)
		ok = ok && buf_addf(out, " session=%u", a->max_per_session);
	if (a->tls_ca)
		ok = ok && buf_addf(out, " ca=%s", a->tls_ca);
	if (a->recipient)
		ok = ok && buf_addf(out, " to=%s", a->recipient);
	for (size_t i = 0; i < a->domains.n; i++)
		ok = ok &&
				buf_addf(out, "%s%s",
						i ? "," : " domains=", a->domains.p[i]);
	if (a->envelope.mode == CONF_ENVELOPE_NONE)
		ok = ok && buf_addf(out, " envelope=-");
	if (a->envelope.mode == CONF_ENVELOPE_SDPS)
		ok = ok && buf_addf(out, " envelope=*ENV");
	if (a->strip)
		ok = ok && buf_addf(out, " strip=%s", a->strip);
	for (size_t i = 0; i < a->envelope.names.n; i++)
		ok = ok && buf_addf(out, " envelope=%s", a->envelope.names.p[i]);
	assert_true(ok && buf_addc(out, '\n'));
}

static void
render_notes(const struct rc_note *n, struct buf *out)
{
	for (; n; n = n->next)
		assert_true(buf_addf(out, " %u %s\n", n->line, n->text));
}

static const char *
render(enum rc_format format, struct span text)
{
	static struct buf out = { .max = 1 << 24 };
	struct rc_fault fault = { .text = "" };
	const struct rc_source src = { format, text, "home.test" };
	struct rc_file *f = rcfile_parse(&src, &fault);

	buf_clear(&out);
	if (!f) {
		assert_true(buf_addf(&out, "fault %u:%u %s\n", fault.mark.line,
				fault.mark.column, fault.text));
		return buf_cstr(&out);
	}
	render_notes(f->notes, &out);
	for (const struct rc_account *a = f->accounts; a; a = a->next) {
		render_account(a, &out);
		render_notes(a->notes, &out);
	}
	rcfile_free(f);
	return buf_cstr(&out);
}

struct example {
	const char *says; /* what the case is about */
	const char *text;
	const char *want; /* a part of the rendering */
	const char *without; /* must not be in it; or NULL */
};

static void
examine(enum rc_format format, const struct example *e, size_t n)
{
	size_t failed = 0;

	for (size_t i = 0; i < n; i++) {
		const char *got = render(format, span_of(e[i].text));
		if (strstr(got, e[i].want) &&
				!(e[i].without && strstr(got, e[i].without)))
			continue;
		failed++;
		print_error("%s\nin:\n%s\ngot:\n%s\nwanted:\n%s\nwithout: %s\n",
				e[i].says, e[i].text, got, e[i].want,
				e[i].without ? e[i].without : "(nothing)");
	}
	assert_int_equal(failed, 0);
}

#define EXAMINE(format, list) examine(format, list, sizeof(list) / sizeof((list)[0]))

#define POLL "poll pop.isp.test proto pop3 "

static const struct example fetchmail_cases[] = {
	{ "the entry everybody has",
			POLL "user \"jane\" password \"pw\" is jane here ssl\n",
			"jane user pop.isp.test:0 implicit jane pw=pw keep=0 to=jane@home.test\n",
			"STLS" },
	{ "English with noise words",
			"poll pop.isp.test with proto POP3 and options:\n"
			"  user \"x@y.test\" there with password \"p w\" is z here, options ssl; keep\n",
			"x user pop.isp.test:0 implicit x@y.test pw=p w keep=-1 to=z@home.test\n",
			NULL },
	{ "the other way round", POLL "user esr here is eric there pass p ssl",
			"eric user pop.isp.test:0 implicit eric pw=p keep=0 to=esr@home.test\n",
			NULL },
	{ "without ssl fetchmail tries STLS", POLL "user a pass p is a",
			"a user pop.isp.test:0 starttls a pw=p", NULL },
	{ "and that is told", POLL "user a pass p is a", "it is required now", NULL },
	{ "unless sslproto is empty", POLL "user a pass p is a sslproto ''",
			"a user pop.isp.test:0 none a pw=p", "required now" },
	{ "which is told too", POLL "user a pass p is a\nsslproto ''",
			" 2 no TLS: the password is sent openly", NULL },
	{ "ports by number and by name",
			"poll p.test proto pop3 service 2110 user a pass p is a ssl\n"
			"poll q.test proto pop3 port 995 user b pass p is b ssl\n"
			"poll r.test proto pop3 service pop3s user c pass p is c ssl\n",
			"a user p.test:2110 implicit", NULL },
	{ "ports by name",
			"poll r.test proto pop3 service pop3s user c pass p is c ssl\n",
			"c user r.test:995 implicit", NULL },
	{ "no port", POLL "port 70000 user a", "fault 1:35 expected a port", NULL },
	{ "via is where it connects",
			"poll isp via pop.isp.test proto pop3 user a pass p is a",
			"a user pop.isp.test:0", NULL },
	{ "several users of a server",
			POLL
			"user a pass 1 is a here user b pass 2 is b here keep user c pass 3 is c",
			"b user pop.isp.test:0 starttls b pw=2 keep=-1 to=b@home.test\n",
			NULL },
	{ "the third has nothing of the second",
			POLL
			"user a pass 1 is a here user b pass 2 is b here keep user c pass 3 is c",
			"c user pop.isp.test:0 starttls c pw=3 keep=0 to=c@home.test\n",
			NULL },
	{ "a user with a full address", POLL "user a pass p is ann@contoso.test ssl",
			"to=ann@contoso.test\n", "check it" },
	{ "smtpaddress completes the local user",
			POLL "user a pass p is ann smtpaddress contoso.test",
			"to=ann@contoso.test\n", "check it" },
	{ "smtpname names the recipient",
			POLL "user a pass p is ann smtpname x@contoso.test",
			"to=x@contoso.test\n", NULL },
	{ "nobody named", POLL "user a@isp.test pass p",
			" 0 nobody is named as recipient", NULL },
	{ "a multidrop mailbox",
			"poll pop.isp.test proto pop3 localdomains Contoso.test fabrikam.test\n"
			"envelope \"X-Envelope-To:\" no dns user all pass p to * here fetchall ssl",
			"all global pop.isp.test:0 implicit all pw=p keep=0 domains=contoso.test,fabrikam.test envelope=X-Envelope-To\n",
			NULL },
	{ "several local names are multidrop",
			POLL "user all pass p is ann bob 'carl' here", "all global ",
			"to=" },
	{ "and not all names of the world",
			POLL "user all pass p is ann bob 'carl' here",
			"for 3 local users only", NULL },
	{ "names are mapped", POLL "user all pass p is a=ann b=bob here",
			"NAME=NAME is not done", NULL },
	{ "no envelope", POLL "no envelope user all pass p is * here", "envelope=-",
			NULL },
	{ "envelope Received is the default",
			POLL "envelope Received user all pass p is * here",
			"all global", "envelope=" },
	{ "a count before the envelope",
			POLL "envelope 1 Delivered-To\n user all pass p is * here",
			" 1 envelope: the topmost field", NULL },
	{ "qvirtual", POLL "qvirtual \"pre-\" user all pass p is * here", " strip=pre-",
			"qvirtual" },
	{ "SDPS tells the envelope itself", "poll i.test proto sdps user a pass p is a",
			"a global i.test:0 starttls a pw=p keep=0 envelope=*ENV",
			NULL },
	{ "aka is told", POLL "aka a.test b.test user all pass p is * here",
			"aka: names of the server", NULL },
	{ "IMAP is not collected",
			"poll i.test proto imap user a pass p is a\n" POLL
			"user b pass p is b",
			" 1 poll i.test: protocol imap; only POP3", "\na " },
	{ "KPOP neither", "poll i.test proto kpop user a is a", "protocol kpop", NULL },
	{ "no protocol is taken for POP3", "poll i.test user a pass p is a",
			"taken for POP3", NULL },
	{ "APOP", "poll i.test proto apop user a pass p is a", "pw=p auth=apop", NULL },
	{ "auth password is no password", POLL "auth password user a pass p is a",
			"a pw=p keep", NULL },
	{ "auth cram-md5", POLL "auth cram-md5 user a pass p is a", "auth=cram-md5",
			NULL },
	{ "auth that is not there", POLL "auth ntlm user a pass p is a",
			"auth ntlm: there is no such", NULL },
	{ "skip", "skip pop.isp.test proto pop3 user a pass p is a", "#a user", NULL },
	{ "defaults fill in",
			"defaults proto pop3 user dflt is local here pass q keep ssl\n"
			"poll a.test user ann pass p\npoll b.test user bob no keep\n",
			"ann user a.test:0 implicit ann pw=p keep=-1 to=local@home.test\n",
			NULL },
	{ "defaults are overridden",
			"defaults proto pop3 user dflt is local here pass q keep ssl\n"
			"poll a.test user ann pass p\npoll b.test user bob no keep\n",
			"bob user b.test:0 implicit bob pw=q keep=0", NULL },
	{ "nokeep is no keep",
			"defaults proto pop3 keep\npoll a.test user ann pass p is a nokeep\n",
			"keep=0", NULL },
	{ "fetchall and keep", POLL "user a pass p is a keep\nfetchall",
			" 2 fetchall: ", NULL },
	{ "fetchall alone is what we do", POLL "user a pass p is a fetchall", "keep=0",
			"fetchall:" },
	{ "set daemon", "set daemon 300\n" POLL "user a pass p is a", "every=300",
			NULL },
	{ "behind it, with interval",
			POLL "interval 3 user a pass p is a\nset daemon 100",
			"every=300", NULL },
	{ "too quick", "set daemon 3 " POLL "user a pass p is a", "every=10", NULL },
	{ "without daemon nothing is said", POLL "user a pass p is a", "keep=0 to",
			"every" },
	{ "limits", POLL "user a pass p is a limit 5000000 fetchlimit 10",
			"max=5000000 session=10", NULL },
	{ "a tiny limit", POLL "user a pass p is a limit 10", "max=1024", NULL },
	{ "no limit", POLL "user a pass p is a limit 0", "keep=0 to", "max=" },
	{ "certificates",
			POLL
			"user a pass p is a ssl sslcertfile /etc/isp.pem sslcertck",
			"ca=/etc/isp.pem", "sslcertck" },
	{ "no sslcertck is told", POLL "user a pass p is a ssl\nno sslcertck",
			" 2 no sslcertck: ", NULL },
	{ "fingerprints are MD5",
			POLL "user a pass p is a ssl sslfingerprint \"AA:BB\"",
			"sslfingerprint: an MD5 sum", "AA:BB" },
	{ "commands are told, not shown",
			POLL "user a pass p is a preconnect \"ssh -p s3cret\"",
			"preconnect: no commands", "s3cret" },
	{ "mda", POLL "user a pass p is a\n\nmda \"/usr/bin/procmail -d %T\"",
			" 3 mda: where mail goes", NULL },
	{ "numbers in a list", POLL "user a pass p is a antispam 571 550 ssl",
			"implicit", NULL },
	{ "lists end at a keyword",
			POLL "user a pass p is a smtphost m.test localhost/2525 ssl",
			"implicit", NULL },
	{ "a control byte in a password", POLL "user a pass \"q\\n\" is a",
			"password: empty, too long, or with a control byte", "pw=" },
	{ "escapes are decimal, octal behind 0, and hexadecimal",
			POLL "user a pass \"\\x41\\66\\0103\\\\\" is a",
			"with a control byte", "pw=" },
	{ "and characters", POLL "user a pass \"\\x41\\66\\103\\\\\" is a", "pw=ABg\\ ",
			NULL },
	{ "a lonely quote in a word", POLL "user a pass p\"w is a", "pw=p\"w ", NULL },
	{ "quotes with more behind are a word", POLL "user a pass \"b\"c is a",
			"pw=\"b\"c ", NULL },
	{ "keywords as password and user", POLL "user keep pass ssl is here",
			"keep user", NULL },
	{ "a numeric password", POLL "user a pass 1234 is a", "pw=1234", NULL },
	{ "# in a password", POLL "user a pass x#y is a # comment\n", "pw=x#y", NULL },
	{ "comments", "# poll x\n" POLL "# user z\nuser a pass p is a", "a user", "z" },
	{ "a comment without an end", POLL "user a pass p is a #", "a user", NULL },
	{ "strings over lines", POLL "user a pass \"x\\\ny\" is a ssl", "pw=xy ",
			NULL },
	{ "options before the user", POLL "keep user a pass p is a",
			" 1 an account without a user", NULL },
	{ "a poll without users", "poll a.test proto pop3\n", "no user is named",
			NULL },
	{ "names that collide",
			"poll a.test proto pop3 user j pass p is j\npoll b.test proto pop3 user j pass p is j\n"
			"poll b.test proto pop3 user J pass p is j",
			"j-b.test user b.test", NULL },
	{ "three of them",
			"poll a.test proto pop3 user j pass p is j\npoll b.test proto pop3 user j pass p is j\n"
			"poll b.test proto pop3 user J pass p is j",
			"J-b.test-2 user b.test", NULL },
	{ "a server that is none", "poll \"a b\" proto pop3 user a is a",
			"cannot be said", "\na " },
	{ "a domain that is none", POLL "localdomains a..b c.test user all is *",
			"domains=c.test", NULL },
	{ "a recipient that is none", POLL "user a pass p is \"x y\"",
			"to=postmaster@home.test", NULL },
	{ "idfile", "set idfile = \"/x\"\n" POLL "user a pass p is a", "a user",
			"fault" },
	{ "set logfile is told", "set logfile \"/x\"\n", " 1 set logfile: ", NULL },
	{ "set no bouncemail", "set no bouncemail\nset nosyslog\n" POLL "user a is a",
			"a user", "bouncemail" },
	{ "esmtppassword is not shown", POLL "esmtppassword \"s3cret\" user a is a",
			"esmtppassword: where", "s3cret" },
	{ "an unknown word", POLL "user a pass p is a ssl nonsense",
			"fault 1:53 expected an option, not \"nonsense\"", NULL },
	{ "an unknown setting", "set nonsense 1", "fault 1:5 expected a setting",
			NULL },
	{ "not a fetchmailrc", "[retriever]\n", "fault 1:1 expected poll", NULL },
	{ "a password out of place is not repeated", POLL "\"s3cret\"",
			"fault 1:30 expected an option, not a quoted", "s3cret" },
	{ "cut short", POLL "user a pass", "fault 1:41 expected a text, not the end",
			NULL },
	{ "empty", "", "", "fault" },
};

static void
fetchmail_files_are_read(void **state)
{
	(void)state;
	EXAMINE(RC_FETCHMAIL, fetchmail_cases);
}

#define RETRIEVER \
	"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = pop.isp.test\nusername = jane\n"
#define DESTINATION "[destination]\ntype = Maildir\npath = ~/Maildir/\n"

static const struct example getmail_cases[] = {
	{ "the file everybody has",
			RETRIEVER "password = s3cret word\n" DESTINATION
				  "[options]\ndelete = true\n",
			"jane user pop.isp.test:0 implicit jane pw=s3cret word keep=0 to=jane@home.test\n",
			"openly" },
	{ "mail stays unless delete is said", RETRIEVER, "keep=-1", NULL },
	{ "read_all is told", RETRIEVER, "read_all: a message", NULL },
	{ "not when it is off", RETRIEVER "[options]\nread_all = False\n", "keep=-1",
			"read_all:" },
	{ "delete_after", RETRIEVER "[options]\ndelete_after = 7\n", "keep=604800",
			NULL },
	{ "delete wins over it", RETRIEVER "[options]\ndelete_after=7\ndelete: yes\n",
			"keep=0", NULL },
	{ "without TLS",
			"[retriever]\ntype = SimplePOP3Retriever\nserver = p.test\nusername = a\n",
			"a user p.test:0 none a", NULL },
	{ "a port", RETRIEVER "port = 2995\n", "pop.isp.test:2995", NULL },
	{ "a multidrop mailbox",
			"[retriever]\ntype = MultidropPOP3SSLRetriever\nserver = p.test\nusername = all\n"
			"password = p\nenvelope_recipient = x-envelope-to:1\n",
			"all global p.test:0 implicit all pw=p keep=-1 envelope=x-envelope-to\n",
			"topmost" },
	{ "not the first field",
			"[retriever]\ntype = MultidropPOP3Retriever\nserver = p.test\nusername = all\n"
			"envelope_recipient = delivered-to:2\n",
			" 5 envelope_recipient: the topmost", NULL },
	{ "SDPS", "[retriever]\ntype = MultidropSDPSRetriever\nserver = p.test\nusername = a\n",
			"envelope=*ENV\n", NULL },
	{ "broken UIDL",
			"[retriever]\ntype=BrokenUIDLPOP3SSLRetriever\nserver=p.test\nusername=a\n",
			"told apart by content", NULL },
	{ "IMAP", "[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = p.test\nusername = a\n",
			" 2 type SimpleIMAPSSLRetriever: only POP3", "\na " },
	{ "a command for the password",
			RETRIEVER
			"password_command = (\"pass\", 'show', \"a\\\"b\",\n   'x y')\n",
			"run=[pass][show][a\"b][x y]", NULL },
	{ "of one word", RETRIEVER "password_command = (\"pass\",)\n", "run=[pass] ",
			NULL },
	{ "which is no list", RETRIEVER "password_command = pass show\n",
			"only a list of plain", "run=" },
	{ "which is Python", RETRIEVER "password_command = (\"a\" + \"b\", f\"x\")\n",
			"only a list of plain", "run=" },
	{ "apop", RETRIEVER "use_apop = 1\n", "auth=apop", NULL },
	{ "limits",
			RETRIEVER
			"[options]\nmax_message_size = 500000\nmax_messages_per_session=20\n",
			"max=500000 session=20", NULL },
	{ "certificates", RETRIEVER "ca_certs = ~/isp.pem\n", "ca=~/isp.pem", NULL },
	{ "fingerprints", RETRIEVER "ssl_fingerprints = ('aa',)\n",
			" 5 ssl_fingerprints: ", NULL },
	{ "the destination is told", RETRIEVER DESTINATION,
			" 6 [destination] Maildir: where mail goes", NULL },
	{ "filters are told",
			RETRIEVER
			"[filter-spam]\ntype = Filter_external\npath = /bin/x\n",
			" 6 [filter-spam] Filter_external: there are no filters",
			"/bin/x" },
	{ "% is nothing special", RETRIEVER "password = a%(b)s%%\n", "pw=a%(b)s%% ",
			NULL },
	{ "# and ; in a value", RETRIEVER "password = a#b ; c\n", "pw=a#b ; c ", NULL },
	{ "= and : in a value", RETRIEVER "password = a=b:c\n", "pw=a=b:c ", NULL },
	{ "comments", "# x\n; y\n" RETRIEVER "  # password = no\n", "jane user",
			"pw=" },
	{ "keys of any case",
			"[retriever]\nTYPE = SimplePOP3Retriever\nServer: p.test\nUserName=a\n",
			"a user p.test:0", NULL },
	{ "CRLF", "[retriever]\r\ntype = SimplePOP3Retriever\r\nserver = p.test\r\nusername = a\r\n",
			"a user p.test:0", NULL },
	{ "an option it does not know", RETRIEVER "nonsense = 1\n",
			" 5 nonsense: there is nothing like it", NULL },
	{ "a password over lines", RETRIEVER "password = a\n  b\n",
			"password: empty, too long", "pw=" },
	{ "twice the same", RETRIEVER "Server = x\n",
			"fault 5:1 \"Server\" was given already", NULL },
	{ "twice the section", RETRIEVER "[retriever]\n",
			"fault 5:1 the section [retriever]", NULL },
	{ "no section", "type = x\n", "fault 1:1 expected [SECTION] first", NULL },
	{ "a broken section", "[retriever\n", "fault 1:1 expected [SECTION]", NULL },
	{ "no value", "[retriever]\n  type\n", "fault 2:3 expected [SECTION] or NAME",
			NULL },
	{ "no boolean", RETRIEVER "[options]\ndelete = maybe\n",
			"fault 6:1 delete: expected true or false", NULL },
	{ "no number", RETRIEVER "port = pop3s\n", "fault 5:1 port: expected a number",
			NULL },
	{ "no type", "[options]\ndelete = true\n", "there is no type", NULL },
	{ "no server", "[retriever]\ntype = SimplePOP3Retriever\nusername = a\n",
			"without a server", NULL },
};

static void
getmail_files_are_read(void **state)
{
	(void)state;
	EXAMINE(RC_GETMAIL, getmail_cases);
}

#define ACCOUNT "account isp\nhost pop.isp.test\nuser jane\n"

static const struct example mpop_cases[] = {
	{ "the file everybody has",
			"defaults\ntls on\n" ACCOUNT
			"password s3cret\ndelivery mda \"/usr/bin/procmail\"\n",
			"isp user pop.isp.test:0 starttls jane pw=s3cret keep=0 to=jane@home.test\n",
			"procmail" },
	{ "delivery is told", ACCOUNT "delivery maildir ~/Mail\n",
			" 4 delivery maildir: where mail", NULL },
	{ "without TLS by default", ACCOUNT, "isp user pop.isp.test:0 none jane",
			NULL },
	{ "TLS from the first byte", ACCOUNT "tls\ntls_starttls off\n",
			"pop.isp.test:0 implicit", NULL },
	{ "a port", ACCOUNT "port 1110\n", "pop.isp.test:1110", NULL },
	{ "a command for the password",
			ACCOUNT "passwordeval \"gpg -d ~/x | head -1\"\n",
			"run=[sh][-c][gpg -d ~/x | head -1]", NULL },
	{ "quotes inside stay", ACCOUNT "passwordeval echo \"a b\"\n",
			"run=[sh][-c][echo \"a b\"]", NULL },
	{ "a quoted password", ACCOUNT "password \" a \"\n", "pw= a  ", NULL },
	{ "# in a password", ACCOUNT "password a#b\n", "pw=a#b", NULL },
	{ "an inherited account",
			ACCOUNT
			"password p\ntls on\nkeep\naccount two : isp\nuser bob\n",
			"two user pop.isp.test:0 starttls bob pw=p keep=-1 to=bob@home.test\n",
			NULL },
	{ "of two bases the later wins only in what it says",
			"account a\nhost a.test\nuser a\nkeep on\naccount b\nhost b.test\naccount c : a , b\nport 99\n",
			"c user b.test:99 none a keep=-1", NULL },
	{ "defaults hold for those behind",
			ACCOUNT "defaults\nkeep on\naccount y\nhost y.test\nuser y\n",
			"isp user pop.isp.test:0 none jane keep=0", NULL },
	{ "the default account is no second one", ACCOUNT "account default : isp\n",
			" 4 account default: another name for isp", "default user" },
	{ "but it may have its own", ACCOUNT "account default : isp\nuser bob\n",
			"default user pop.isp.test", NULL },
	{ "auth on", ACCOUNT "auth on\n", "jane keep", NULL },
	{ "auth by name", ACCOUNT "auth CRAM-MD5\n", "auth=cram-md5", NULL },
	{ "auth with a token", ACCOUNT "auth xoauth2\npasswordeval tok\n",
			"run=[sh][-c][tok] auth=xoauth2", NULL },
	{ "auth that is not there", ACCOUNT "auth scram-sha-1\n",
			"auth scram-sha-1: there is no such", NULL },
	{ "sizes", ACCOUNT "skipsize 50k\n", "max=51200", NULL },
	{ "killsize deletes nothing", ACCOUNT "killsize 2m\nskipsize 5m\n",
			"max=2097152", NULL },
	{ "and is told", ACCOUNT "killsize 2m\n", " 4 killsize: ", NULL },
	{ "sizes off", ACCOUNT "skipsize 5m\nskipsize off\n", "keep=0 to", "max=" },
	{ "certificates", ACCOUNT "tls on\ntls_trust_file ~/isp.pem\n", "ca=~/isp.pem",
			NULL },
	{ "the system's", ACCOUNT "tls on\ntls_trust_file system\n", "starttls",
			"ca=" },
	{ "certcheck off is told", ACCOUNT "tls_certcheck off\n",
			" 4 tls_certcheck off: ", NULL },
	{ "certcheck on is not", ACCOUNT "tls_certcheck on\n", "jane keep",
			"tls_certcheck" },
	{ "fingerprints", ACCOUNT "tls_fingerprint 01:02\n",
			"tls_fingerprint: a fingerprint of the cert", "01:02" },
	{ "only_new off is told", ACCOUNT "only_new off\n", " 4 only_new off: ", NULL },
	{ "received_header off is told", ACCOUNT "received_header off\n",
			" 4 received_header off", NULL },
	{ "proxies",
			ACCOUNT
			"proxy_host 127.0.0.1\nsource_ip 10.0.0.1\ntimeout 5\npipelining auto\n",
			"proxy_host: conn", NULL },
	{ "filters", ACCOUNT "filter grep s3cret\n", " 4 filter: there are no",
			"s3cret" },
	{ "eval is not run", ACCOUNT "eval touch /x\n",
			" 4 eval: the command was not run", NULL },
	{ "tabs", "account\tisp\n\thost\tp.test\n\tuser\ta\n", "isp user p.test:0",
			NULL },
	{ "an unset password", ACCOUNT "password x\npassword\n", "jane keep", "pw=" },
	{ "a name with blanks and umlauts",
			"account \"Büro am See\"\nhost p.test\nuser a\n",
			"B-ro-am-See user", NULL },
	{ "nothing before an account", "host x\n", "fault 1:1 expected \"defaults\"",
			NULL },
	{ "a base that is not there", "account a : b\n",
			"fault 1:13 there is no account \"b\"", NULL },
	{ "an account twice", "account a\nhost x.test\nuser a\naccount a\n",
			"fault 4:9 the account \"a\"", NULL },
	{ "an unknown statement", ACCOUNT "  nonsense 1\n",
			"fault 4:3 unknown statement \"nonsense\"", NULL },
	{ "neither on nor off", ACCOUNT "keep maybe\n", "fault 4:6 expected on or off",
			NULL },
	{ "no size", ACCOUNT "skipsize 5g\n", "fault 4:10 expected off or a size",
			NULL },
	{ "no port", ACCOUNT "port 0\n", "fault 4:6 expected a port", NULL },
	{ "no host", "account a\nuser a\n", " 1 an account without a server", NULL },
};

static void
mpop_files_are_read(void **state)
{
	(void)state;
	EXAMINE(RC_MPOP, mpop_cases);
}

static void
limits_hold(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(RC_TEXT_MAX + 1);
	while (b.n <= RC_TEXT_MAX)
		assert_true(buf_addc(&b, '\n'));
	for (int f = RC_FETCHMAIL; f <= RC_MPOP; f++)
		assert_non_null(strstr(render((enum rc_format)f, buf_span(&b)),
				"fault 1:1 longer than 1048576 bytes"));
	assert_non_null(strstr(
			render(RC_MPOP, SPAN("a\nb\0c")), "fault 2:2 a NUL byte"));

	buf_clear(&b);
	assert_true(buf_addf(&b, "poll p.test proto pop3\n"));
	for (int i = 0; i <= RC_ACCOUNTS_MAX; i++)
		assert_true(buf_addf(&b, "user a is b\n"));
	assert_non_null(strstr(render(RC_FETCHMAIL, buf_span(&b)),
			"more than 10000 accounts"));

	buf_clear(&b);
	assert_true(buf_addf(&b, "account a0\nhost x.test\nuser a\n"));
	for (int i = 1; i < 5000; i++)
		assert_true(buf_addf(&b, "account a%d : a%d\nport 1\n", i, i - 1));
	assert_non_null(strstr(render(RC_MPOP, buf_span(&b)), "too much is inherited"));
}

/* ---- lists ---- */

static const char *
ids_of(enum rc_format format, struct span text, unsigned *bad)
{
	static struct buf out = { .max = 65536 };
	struct rc_ids ids = { .format = format, .rest = text };
	struct rc_id id;

	buf_clear(&out);
	while (rc_ids_next(&ids, &id))
		assert_true(buf_addf(&out, SPAN_FMT "|" SPAN_FMT "|" SPAN_FMT "\n",
				SPAN_ARG(id.user), SPAN_ARG(id.host),
				SPAN_ARG(id.uidl)));
	*bad = ids.bad;
	return buf_cstr(&out);
}

static void
lists_are_read(void **state)
{
	(void)state;
	unsigned bad;
	assert_string_equal(
			ids_of(RC_FETCHMAIL,
					SPAN("ann@isp.test@pop.isp.test u@1\n"
					     "bob@P.test  <x> \nnonsense\n@h x\nu@h\na@ x\n"),
					&bad),
			"ann@isp.test|pop.isp.test|u@1\nbob|P.test|<x>\n");
	assert_int_equal(bad, 4);
	assert_string_equal(ids_of(RC_GETMAIL,
					    SPAN("u-1\0"
						 "1795691133\n<x>\0"
						 "1\n\nbad\n"),
					    &bad),
			"||u-1\n||<x>\n");
	assert_int_equal(bad, 1);
	assert_string_equal(
			ids_of(RC_MPOP,
					SPAN("# This file\n#\n 2 pop.isp.test ann b\n#1\nu 2\n"
					     " 1 q.test bob\nu3\n x\nu4\n"),
					&bad),
			"ann b|pop.isp.test|#1\nann b|pop.isp.test|u 2\nbob|q.test|u3\n");
	assert_int_equal(bad, 2);
}

static void
lists_find_their_account(void **state)
{
	(void)state;
	struct rc_fault fault;
	const struct rc_source src = { RC_FETCHMAIL,
		SPAN("poll isp via Pop.isp.test proto pop3 port 99 user 'a/b;c' is a"),
		"home.test" };
	struct rc_file *f = rcfile_parse(&src, &fault);
	assert_non_null(f);
	struct rc_account *a = f->accounts;
	struct rc_id id = { SPAN("pop.ISP.test"), SPAN("A/B;C"), SPAN("u") };

	assert_true(rc_ids_of(RC_FETCHMAIL, &id, a));
	assert_false(rc_ids_of(RC_MPOP, &id, a));
	id.host = SPAN("isp");
	assert_true(rc_ids_of(RC_FETCHMAIL, &id, a));
	id.host = SPAN("isp2");
	assert_false(rc_ids_of(RC_FETCHMAIL, &id, a));
	assert_string_equal(rc_getmail_ids_name(a, &f->arena),
			"oldmail-Pop.isp.test-99-a-b-c");
	rcfile_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetchmail_files_are_read),
		cmocka_unit_test(getmail_files_are_read),
		cmocka_unit_test(mpop_files_are_read),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(lists_find_their_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
