/*
 * What the operator calls the pods, and where they are reached from here: a pod that says "the guest is on pod-b now" knows
 * an address that is good between pods, which need not be good for us.
 */
#ifndef TELEPOD_TOOLS_PODS_H
#define TELEPOD_TOOLS_PODS_H

#include <stdbool.h>

/* NAME=HOST:PORT. False: it is no such text, or there are too many. */
bool pods_add(const char *text);
/* A file of such lines; empty ones, and those that begin with #, are passed over. False: said why. */
bool pods_read(const char *path);
/* HOST:PORT of the pod; NULL: nobody has told. */
const char *pods_find(const char *name);

#endif
