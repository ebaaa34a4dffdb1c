#define _GNU_SOURCE
#include "zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* libuv's, exported by Node's own binary; npm's node-api-headers does not carry uv.h. */
int uv_loop_fork(void *loop);
int uv_set_process_title(const char *title);

/* A signal that nothing else uses, and that job code cannot listen to. */
#define ORPHANED (SIGRTMIN + 9)

struct child {
  pid_t pid; /* 0 = empty seat */
  uint32_t generation;
};

static struct child children[MAX_SEATS];
static uint32_t seats_used = 0;
/* Shared with the children: the generation whose JavaScript has begun, by seat. Costs no message. */
static volatile uint32_t *begun = NULL;
/* The kernel's list of our children, once it was needed. */
static int children_list = -1;

/* Pipes with both ends in this process: Node's own loops read pointers from theirs. */
#define MAX_PIPES 16
static struct own_pipe {
  int read, write;
  ino_t inode;
} own_pipes[MAX_PIPES];
static size_t pipe_count = 0;

static int report(int control, uint8_t type, uint32_t seat, uint32_t generation, pid_t pid, int32_t value,
                  const struct rusage *usage, uint64_t extra) {
  struct report out;
  memset(&out, 0, sizeof out);
  out.length = sizeof out - sizeof out.length;
  out.type = type;
  out.seat = seat;
  out.generation = generation;
  out.pid = pid;
  out.value = value;
  out.begun = begun[seat] == generation;
  out.extra = extra;
  if (usage != NULL) out.peak_bytes = (uint64_t)usage->ru_maxrss * 1024u;
  return write_all(control, &out, sizeof out);
}

int read_exactly(int fd, void *into, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = read(fd, (char *)into + done, length - done);
    if (n == 0) return 0;
    if (n > 0) {
      done += (size_t)n;
    } else if (errno == EAGAIN) {
      struct pollfd wait = {fd, POLLIN, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return 1;
}

int write_all(int fd, const void *from, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = send(fd, (const char *)from + done, length - done, MSG_NOSIGNAL);
    if (n >= 0) {
      done += (size_t)n;
    } else if (errno == EAGAIN) {
      struct pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return 0;
}

int allow_fork_of_heap(void) {
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) return -1;
  char *line = NULL;
  size_t capacity = 0;
  int changed = 0;
  while (getline(&line, &capacity, maps) > 0) {
    uintptr_t from, to;
    unsigned long inode;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %lu", &from, &to, &inode) != 3 || inode != 0) continue;
    if (strstr(line, "[v") != NULL) continue; /* vdso, vvar, vsyscall */
    if (madvise((void *)from, to - from, MADV_DOFORK) == 0) changed++;
  }
  free(line);
  fclose(maps);
  return changed;
}

static void end_group(int signal) {
  (void)signal;
  if (getpgrp() == getpid()) kill(0, SIGKILL);
  _exit(128 + SIGKILL);
}

void end_group_with_parent(pid_t parent) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = end_group;
  sigaction(ORPHANED, &action, NULL);
  prctl(PR_SET_PDEATHSIG, ORPHANED);
  if (getppid() != parent) _exit(0); /* it died between the fork and the prctl */
}

void die_with_parent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0); /* it died between the fork and the prctl */
}

/*
 * How many processes have come to us, as subreaper, from jobs that are over: those that left their job's group, which the end of the
 * group does not end. They may go on writing to what their job was given. 0 where the kernel does not tell.
 */
static uint64_t strays(void) {
  if (children_list < 0) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    children_list = open(path, O_RDONLY | O_CLOEXEC);
  }
  uint64_t ours = 0, all = 0;
  for (uint32_t seat = 0; seat < seats_used; seat++) ours += children[seat].pid > 0;
  char text[4096];
  off_t at = 0;
  for (ssize_t n; (n = pread(children_list, text, sizeof text, at)) > 0; at += n) {
    for (ssize_t i = 0; i < n; i++) all += text[i] == ' '; /* each number ends with one */
  }
  return all > ours ? all - ours : 0;
}

static void on_child(int signal) { (void)signal; } /* its arrival ends ppoll, that is all */

static void reap(int control) {
  for (;;) {
    siginfo_t info;
    info.si_pid = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    uint32_t seat = 0;
    while (seat < seats_used && children[seat].pid != info.si_pid) seat++;
    /* Before the pid is given back, so that the group's number cannot have gone to somebody else. */
    if (seat < seats_used) kill(-info.si_pid, SIGKILL);
    int status = 0;
    struct rusage usage;
    if (wait4(info.si_pid, &status, 0, &usage) < 0) continue;
    if (seat == seats_used) continue; /* a stray */
    children[seat].pid = 0;
    report(control, 'E', seat, children[seat].generation, info.si_pid, status, &usage, strays());
  }
}

static void kill_all(void) {
  for (uint32_t seat = 0; seat < seats_used; seat++) {
    if (children[seat].pid > 0) kill(-children[seat].pid, SIGKILL);
  }
}

static int receive(int control, struct request *request, int fds[3]) {
  union {
    char space[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr align;
  } ancillary;
  struct iovec data = {request, sizeof *request};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.space;
  message.msg_controllen = sizeof ancillary.space;
  ssize_t n;
  do n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return 0;
  fds[0] = fds[1] = fds[2] = -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(3 * sizeof(int))) {
      memcpy(fds, CMSG_DATA(c), 3 * sizeof(int));
    }
  }
  size_t rest = sizeof *request - (size_t)n;
  return rest == 0 || read_exactly(control, (char *)request + n, rest) == 1;
}

static bool is_pipe(int fd, ino_t *inode) {
  /* Not fstat(): where glibc is new, that would bind the addon to glibc 2.33, and Node runs on 2.28. */
  struct statx found;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO, &found) != 0 || !S_ISFIFO(found.stx_mode)) return false;
  *inode = found.stx_ino;
  return true;
}

static void note_own_pipes(void) {
  for (int from = STDERR_FILENO + 1; from < 256; from++) {
    ino_t inode, other;
    if (!is_pipe(from, &inode) || (fcntl(from, F_GETFL) & O_ACCMODE) != O_RDONLY) continue;
    for (int to = STDERR_FILENO + 1; to < 256 && pipe_count < MAX_PIPES; to++) {
      if (to == from || !is_pipe(to, &other) || other != inode) continue;
      own_pipes[pipe_count++] = (struct own_pipe){from, to, inode};
      break;
    }
  }
}

/* What the child's loops have not replaced is the zygote's: the child gets others in its place, lest a job writes to the zygote. */
static void part_own_pipes(void) {
  for (size_t i = 0; i < pipe_count; i++) {
    const struct own_pipe *pipe = &own_pipes[i];
    ino_t from, to;
    if (!is_pipe(pipe->read, &from) || !is_pipe(pipe->write, &to) || from != pipe->inode || to != from) continue;
    int fresh[2];
    if (pipe2(fresh, O_CLOEXEC | O_NONBLOCK) != 0) continue;
    dup3(fresh[0], pipe->read, O_CLOEXEC);
    dup3(fresh[1], pipe->write, O_CLOEXEC);
    close(fresh[0]);
    close(fresh[1]);
  }
}

/* What workers are told by; where service managers signal a whole tree, so are all the processes below. */
static void on_worker_signals(void (*action)(int)) {
  static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], action);
}

static void raise_oom_score(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  /* Refused only where the operator set a higher floor; then that one holds. */
  if (write(fd, "900", 3) < 0) errno = 0;
  close(fd);
}

static void become_child(pid_t zygote, int control, const int fds[3], void *loop, const char *title) {
  die_with_parent(zygote);
  setpgid(0, 0);
  close(control);
  if (children_list >= 0) close(children_list);
  dup2(fds[1], STDOUT_FILENO);
  dup2(fds[2], STDERR_FILENO);
  close(fds[1]);
  close(fds[2]);
  raise_oom_score();
  /* Handlers that were set before the fork would swallow signals without anyone hearing of them. */
  on_worker_signals(SIG_DFL);
  uv_loop_fork(loop);
  part_own_pipes();
  uv_set_process_title(title);
}

void await_errand(struct errand *errand) {
  uint32_t length;
  if (read_exactly(errand->channel, &length, sizeof length) != 1 || length < 1) _exit(0);
  if (read_exactly(errand->channel, &errand->type, 1) != 1) _exit(0);
  errand->length = length - 1;
  errand->body = malloc(errand->length + 1);
  if (errand->body == NULL) _exit(70);
  if (errand->length > 0 && read_exactly(errand->channel, errand->body, errand->length) != 1) _exit(0);
}

void zygote_begun(const struct errand *errand) {
  if (begun != NULL) begun[errand->seat] = errand->generation;
}

struct errand zygote_serve(int control, void *loop, const char *waiting_title) {
  begun = mmap(NULL, MAX_SEATS * sizeof *begun, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (begun == MAP_FAILED) _exit(71);
  allow_fork_of_heap();
  note_own_pipes();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  /* The closing of `control` tells of the worker's death, and leaves time to end whole groups. This wakes a stopped zygote. */
  prctl(PR_SET_PDEATHSIG, SIGCONT);
  /* Its children must not go with it while the worker lets them end: it leaves when `control` closes. */
  on_worker_signals(SIG_IGN);

  struct sigaction ours, theirs;
  memset(&ours, 0, sizeof ours);
  ours.sa_handler = on_child;
  ours.sa_flags = SA_NOCLDSTOP;
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGCHLD);
  sigprocmask(SIG_BLOCK, &block, &before);
  sigaction(SIGCHLD, &ours, &theirs);
  pid_t self = getpid();

  for (;;) {
    reap(control);
    struct pollfd ready = {control, POLLIN, 0};
    if (ppoll(&ready, 1, NULL, &before) <= 0) continue;
    struct request request;
    int fds[3];
    if (!receive(control, &request, fds) || request.op == OP_QUIT) break;
    if (request.seat >= MAX_SEATS) continue;
    struct child *child = &children[request.seat];
    if (request.op == OP_KILL) {
      if (child->pid > 0 && child->generation == request.generation) kill(-child->pid, (int)request.argument);
    } else if (request.op == OP_PING) {
      report(control, 'P', request.seat, request.generation, child->pid, 0, NULL, 0);
    } else if (request.op == OP_FORK) {
      struct timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      pid_t pid = fork();
      int error = errno;
      if (pid == 0) {
        sigaction(SIGCHLD, &theirs, NULL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        become_child(self, control, fds, loop, waiting_title);
        return (struct errand){request.seat, request.generation, fds[0], self, 0, NULL, 0};
      }
      clock_gettime(CLOCK_MONOTONIC, &to);
      for (int i = 0; i < 3; i++) close(fds[i]);
      if (pid > 0) {
        setpgid(pid, pid); /* both sides do it: whoever needs it first has it */
        child->pid = pid;
        child->generation = request.generation;
        if (request.seat >= seats_used) seats_used = request.seat + 1;
      }
      uint64_t nanos = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
      report(control, 'F', request.seat, request.generation, pid > 0 ? pid : 0, pid > 0 ? 0 : error, NULL, nanos);
    }
  }
  kill_all();
  _exit(0);
}
