/* The bare system calls of a directory queue, in C: the least there is to do.
 *
 *     rawqueue DIRECTORY SIZE
 *
 * Reads lines "put N", "drop N", "move N" and "clear N", and answers each with the seconds it took.
 * DIRECTORY has the directories tmp, new, work and next; a job is a file of SIZE bytes.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *base, *job;
static size_t size;
static long made, taken, moved, cleared;

static char *path(char *into, const char *place, long number)
{
    snprintf(into, 4096, "%s/%s/%024ld.0", base, place, number);
    return into;
}

static void must(int done, const char *what)
{
    if (done < 0)
        err(1, "%s", what);
}

static void create(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd, name);
    if (write(fd, job, size) != (ssize_t)size)
        err(1, "write");
    close(fd);
}

static void fetch(const char *name)
{
    struct stat info;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    must(fd, name);
    must(fstat(fd, &info), "fstat");
    if (read(fd, job, info.st_size) != info.st_size)
        err(1, "read");
    close(fd);
}

static void put(void)
{
    char tmp[4096], new[4096];
    create(path(tmp, "tmp", made));
    must(rename(tmp, path(new, "new", made++)), "rename");
}

static char *claim(char *work)
{
    char new[4096];
    must(rename(path(new, "new", taken), path(work, "work", taken)), "rename");
    taken++;
    fetch(work);
    return work;
}

static void drop(void)
{
    char work[4096];
    must(unlink(claim(work)), "unlink");
}

static void move(void)
{
    char work[4096], tmp[4096], next[4096];
    claim(work);
    create(path(tmp, "tmp", moved));
    must(rename(tmp, work), "rename");
    must(rename(work, path(next, "next", moved++)), "rename");
}

static void clear(void)
{
    char next[4096];
    must(unlink(path(next, "next", cleared++)), "unlink");
}

int main(int argc, char **argv)
{
    char word[8];
    long count;
    if (argc != 3)
        errx(2, "usage: rawqueue DIRECTORY SIZE");
    base = argv[1];
    size = strtoul(argv[2], NULL, 10);
    job = memset(malloc(size), 'x', size);
    while (scanf("%7s %ld", word, &count) == 2) {
        void (*deed)(void) = *word == 'p' ? put : *word == 'd' ? drop : *word == 'm' ? move : clear;
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        while (count--)
            deed();
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%.9f\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
        fflush(stdout);
    }
    return 0;
}
