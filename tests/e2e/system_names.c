/* A name that only the system's resolver knows, as one from LDAP or a VPN's own service would be. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    int (*systems)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    return systems(name && strcmp(name, "forge.only-here.test") == 0 ? "127.0.0.1" : name, port, hints, found);
}
