/* The part of the addon that forks: a loop in C, so that no JavaScript runs (and no heap page changes) between forks. */
#ifndef RESQUEUE_ZYGOTE_H
#define RESQUEUE_ZYGOTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Seats are numbered by the worker; one seat holds one child at a time. */
#define MAX_SEATS 4096

/* What the worker asks; FORK carries three descriptors: channel, stdout, stderr. */
enum { OP_FORK = 1, OP_KILL = 2, OP_PING = 3, OP_QUIT = 4 };

struct request {
  uint32_t op;
  uint32_t seat;
  uint32_t generation;
  uint32_t argument; /* OP_KILL: the signal */
};

/* What the worker is told: a frame of the same shape as JavaScript's (length, then type). Little endian, packed. */
struct __attribute__((packed)) report {
  uint32_t length; /* of what follows */
  uint8_t type;    /* 'F' forked, 'E' ended, 'P' pong */
  uint32_t seat;
  uint32_t generation;
  int32_t pid;
  int32_t value;  /* F: 0 or errno; E: wait status */
  uint32_t begun; /* E, P: 1 when the child's JavaScript has begun */
  uint64_t peak_bytes;
  uint64_t extra; /* F: the fork's duration in ns; E: how many processes are left of jobs that are over */
};

/* In a child: what it is to do first. */
struct errand {
  uint32_t seat;
  uint32_t generation;
  int channel;
  pid_t zygote;
  uint8_t type; /* first frame's type */
  char *body;   /* malloc'ed */
  size_t length;
};

/*
 * Serves fork requests from `control` until it closes or asks to quit, then kills every child and leaves by _exit. Of signals, only KILL
 * ends it.
 * Returns in children only, each time with its errand, of which type and body are still to be awaited.
 */
struct errand zygote_serve(int control, void *loop, const char *waiting_title);

/* In a job process: waits for a frame on errand->channel. When the worker closes it, the process is not needed: it leaves. */
void await_errand(struct errand *errand);

/* In a child: tells whoever asks that JavaScript runs. Elsewhere it does nothing. */
void zygote_begun(const struct errand *errand);

/* Lets fork copy V8's heap: Node marks it MADV_DONTFORK. Returns the number of mappings changed or -1. */
int allow_fork_of_heap(void);

/* SIGKILL for this process when `parent` dies; leaves at once when it already has. */
void die_with_parent(pid_t parent);

/* The same for this process's whole group, if it leads one: a handler in C does it, so that a busy JavaScript cannot put it off. */
void end_group_with_parent(pid_t parent);

/* Reads exactly `length` bytes. 1 = done, 0 = the other end closed, -1 = error. */
int read_exactly(int fd, void *into, size_t length);

/* Writes everything, waiting where the descriptor does not block. 0 or -1. */
int write_all(int fd, const void *from, size_t length);

#endif
