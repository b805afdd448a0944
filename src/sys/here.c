/* Is an address one of this machine's? The kernel knows: it binds to no other. */
#include <sys/socket.h>
#include <unistd.h>

#include "postern/net.h"
#include "sockaddr.h"

bool
net_addr_here(const struct net_addr *a)
{
	struct net_addr any_port = *a;
	struct sockaddr_storage sa;

	if (a->family == NET_UNIX || net_addr_loopback(a))
		return true;
	any_port.port = 0;
	socklen_t n = sockaddr_from(&any_port, &sa);
	int fd = n > 0 ? socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return false;
	bool here = bind(fd, (const struct sockaddr *)&sa, n) == 0;
	(void)close(fd);
	return here;
}
