/*
 * Part of target_pod.c: threads as coroutines that the test schedules, and the clock, which only goes on when somebody looks
 * at it or a test lets time pass.
 */
struct thread {
    ucontext_t context;
    void (*fn)(void *);
    void *arg;
    bool used, blocked;
    void *fake_stack;
};

static struct thread threads[THREADS];
static char stacks[THREADS][STACK_BYTES];
static uint32_t newest;                   /* the thread that was created last */
static struct thread *current;            /* NULL: the test */
static ucontext_t test_context;
static const void *test_stack;
static size_t test_stack_size;
static uint32_t fills;                    /* frames written since the last turn */

static void give_turn(bool for_ever)
{
    struct thread *self = current;
    fills = 0;
    __sanitizer_start_switch_fiber(for_ever ? NULL : &self->fake_stack, test_stack, test_stack_size);
    swapcontext(&self->context, &test_context);
    __sanitizer_finish_switch_fiber(self->fake_stack, &test_stack, &test_stack_size);
}

static void thread_body(void)
{
    __sanitizer_finish_switch_fiber(NULL, &test_stack, &test_stack_size);
    current->fn(current->arg);
    current->used = false;
    give_turn(true);
}

static uint32_t free_thread(void)
{
    uint32_t i = 0;
    while (i < THREADS && threads[i].used)
        i++;
    promise(i < THREADS, "no more threads than connections, a listener and an operator");
    return i;
}

static void spawn(void (*fn)(void *), void *arg)
{
    newest = free_thread();
    threads[newest] = (struct thread){ .fn = fn, .arg = arg, .used = true };
    getcontext(&threads[newest].context);
    threads[newest].context.uc_stack.ss_sp = stacks[newest];
    threads[newest].context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&threads[newest].context, thread_body, 0);
}

enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg)
{
    (void)name;
    (void)cpu;
    promise(!out, "threads here are detached");
    if (heap_is_empty())
        return ERR_NO_MEMORY;
    spawn(fn, arg);
    return OK;
}

bool pod_step(uint32_t index)
{
    struct thread *thread = &threads[index % THREADS];
    void *fake_stack;
    if (!thread->used || thread->blocked)
        return false;
    current = thread;
    __sanitizer_start_switch_fiber(&fake_stack, stacks[thread - threads], STACK_BYTES);
    swapcontext(&test_context, &thread->context);
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
    current = NULL;
    return true;
}

void pod_run(void)
{
    bool busy = true;
    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < THREADS; i++)
            busy |= pod_step(i);
    }
}

void thread_yield(void)
{
    if (current)
        give_turn(false);
}

static void wait_for_test(void)
{
    promise(current, "only threads wait");
    current->blocked = true;
    give_turn(false);
}

void thread_sleep_until(uint64_t deadline)
{
    now = MAX(now, deadline);
    thread_yield();
}

/* A call to the CPU of a machine. */
static void other_cpu(void)
{
    if (pod_many_cpus)
        thread_yield();
}

/* ---- time, log ---------------------------------------------------------------------------------------------------- */

uint64_t time_now(void) { return now += 10; }
uint64_t time_tsc_hz(void) { return HZ; }
uint64_t time_from_us(uint64_t us) { return us * NS_PER_US; }
uint64_t time_to_ns(uint64_t ticks) { return ticks; }

static void log_text(const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);   /* for the sanitizers */
}

void log_info(const char *room, const char *format, ...)
{
    va_list args;
    (void)room;
    va_start(args, format);
    log_text(format, args);
    va_end(args);
}

void log_error(const char *room, const char *format, ...)
{
    va_list args;
    (void)room;
    va_start(args, format);
    log_text(format, args);
    va_end(args);
}
