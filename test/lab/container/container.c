/*
 * container OPTION... -- PROGRAM ARGUMENT...: runs a program as a container runtime would, on a lab machine. Its steps are
 * those of runc (libcontainer/rootfs_linux.go): mount namespace, root, mounts, pivot_root, rights. The network stays the
 * machine's; there is no seccomp filter.
 *
 *   --root DIR          the root filesystem, read-only
 *   --bind FROM:TO      mounts a directory, as a hostPath or emptyDir volume; --bind-ro: read-only;
 *                       --bind-shared: with propagation in both directions, as mountPropagation: Bidirectional
 *   --privileged        root with every right, the machine's processes and /dev (hostPID, privileged). Otherwise: a PID
 *                       namespace, a small /dev, user and group 65532, no capability, no new privileges
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER 65532

static pid_t child;

static void die(const char *what) {
  fprintf(stderr, "container: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void must(long result, const char *what) {
  if (result < 0) die(what);
}

/* The path of something inside the new root; in one of two buffers that take turns. */
static const char *inside(const char *root, const char *path) {
  static char buffers[2][4096];
  static int turn;
  turn = !turn;
  snprintf(buffers[turn], sizeof buffers[turn], "%s/%s", root, path);
  return buffers[turn];
}

/* What is mounted below DIR from now on is not passed on to the machine. */
static void make_parent_private(const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s", directory);
  for (;;) {
    if (mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0) return;
    if (errno != EINVAL) die(path);
    char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(path, "/") == 0) die(path);
    slash[slash == path ? 1 : 0] = 0;
  }
}

static void bind(const char *root, const char *option, char *argument) {
  char *to = strchr(argument, ':');
  if (to == NULL) die(argument);
  *to++ = 0;
  const char *target = inside(root, to);
  must(mount(argument, target, NULL, MS_BIND | MS_REC, NULL), target);
  int shared = strcmp(option, "--bind-shared") == 0;
  must(mount(NULL, target, NULL, (shared ? MS_SHARED : MS_PRIVATE) | MS_REC, NULL), target);
  if (strcmp(option, "--bind-ro") == 0) {
    must(mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL), target);
  }
}

static void small_dev(const char *root) {
  static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
  must(mount("tmpfs", inside(root, "dev"), "tmpfs", MS_NOSUID, "mode=755,size=64k"), "dev");
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char from[64], to[64];
    snprintf(from, sizeof from, "/dev/%s", names[n]);
    snprintf(to, sizeof to, "dev/%s", names[n]);
    const char *target = inside(root, to);
    int file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    must(file, target);
    close(file);
    must(mount(from, target, NULL, MS_BIND, NULL), target);
  }
}

static void enter(const char *root) {
  must(mount(NULL, root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), "read-only root");
  int old = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  must(old, "/");
  must(chdir(root), root);
  must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  must(fchdir(old), "old root");
  /* So that what is unmounted here stays mounted on the machine. */
  must(mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL), "old root");
  must(umount2(".", MNT_DETACH), "old root");
  must(chdir("/"), "/");
}

static void give_up_rights(void) {
  for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) {
  }
  must(setgroups(0, NULL), "setgroups");
  must(setresgid(USER, USER, USER), "setresgid");
  must(setresuid(USER, USER, USER), "setresuid");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  must(syscall(SYS_capset, &header, none), "capset");
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static void forward(int signal) { kill(child, signal); }

/* Waits for the first process of the PID namespace and ends as it does. */
static int wait_for_child(void) {
  struct sigaction action = {.sa_handler = forward};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) die("wait");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
  const char *root = NULL;
  int privileged = 0;
  int binds[64], count = 0, at = 1;
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (strcmp(argv[at], "--privileged") == 0) privileged = 1;
    else if (strcmp(argv[at], "--root") == 0 && at + 1 < argc) root = argv[++at];
    else if (strncmp(argv[at], "--bind", 6) == 0 && at + 1 < argc && count < 64) binds[count++] = at++;
    else break;
  }
  if (root == NULL || at + 1 >= argc || strcmp(argv[at], "--") != 0) {
    errno = EINVAL;
    die("--root DIR [--privileged] [--bind FROM:TO]... -- PROGRAM ARGUMENT...");
  }
  must(unshare(CLONE_NEWNS | CLONE_NEWIPC | (privileged ? 0 : CLONE_NEWPID)), "unshare");
  if (!privileged) {
    child = fork();
    must(child, "fork");
    if (child > 0) return wait_for_child();
    must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "/");
  }
  make_parent_private(root);
  must(mount(root, root, NULL, MS_BIND | MS_REC, NULL), root);
  must(mount(NULL, root, NULL, MS_PRIVATE | MS_REC, NULL), root);
  must(mount("proc", inside(root, "proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
  must(mount("sysfs", inside(root, "sys"), "sysfs", privileged ? 0 : MS_RDONLY, NULL), "sys");
  char dev[] = "/dev:/dev";
  if (privileged) bind(root, "--bind", dev);
  else small_dev(root);
  for (int n = 0; n < count; n++) bind(root, argv[binds[n]], argv[binds[n] + 1]);
  enter(root);
  if (!privileged) give_up_rights();
  /* After the change of user, which ends it. */
  if (!privileged) must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "death signal");
  char *environment[] = {"PATH=/usr/sbin:/usr/bin", "HOME=/", NULL};
  execve(argv[at + 1], argv + at + 1, environment);
  die(argv[at + 1]);
}
