/* sockaddr: the kernel's form of struct net_addr, for the insides of sys. */
#ifndef SYS_SOCKADDR_H
#define SYS_SOCKADDR_H

#include <sys/socket.h>

#include "postern/err.h"
#include "postern/net.h"

socklen_t sockaddr_from(const struct net_addr *a, struct sockaddr_storage *out);
/* A unix socket's address. The kernel has room for 107 octets of it: a longer path goes by its
 * folder, held open in *dir as long as the address is used (-1: not needed). */
bool sockaddr_unix(struct span path, struct net_addr *out, int *dir, struct err *err);
/* NET_NONE for families that are not ours; an unnamed unix socket has no path. */
void sockaddr_to(const struct sockaddr_storage *ss, socklen_t n, struct net_addr *out);
/* A non-blocking, close-on-exec stream socket for the address, small packets
 * sent at once; -1 with errno. */
int sockaddr_socket(const struct net_addr *a);

#endif
