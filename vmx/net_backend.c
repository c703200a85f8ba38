#include "vmx/net_backend.h"

#include <stddef.h>

static const struct net_backend *registered;

void net_backend_register(const struct net_backend *backend)
{
    registered = backend;
}

const struct net_backend *net_backend(void)
{
    return registered;
}
