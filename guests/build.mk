# guests/build.mk: the guests' images, $(GUEST_IMAGES), each an ELF64 executable for the machine of guests/ABI.md.
#
# Needs nothing but the host's gcc; works included by the top Makefile and alone (make -f guests/build.mk).
# A new guest is a line in one of the first two lists.

BUILD ?= build

# Sources of a guest: guests/NAME.c, unless it has a line of its own.
GUEST_NAMES   := hello clock dirtier net_echo
GUEST_TESTS   := triple spin_cli outside ports msrs exceptions inject fpu cpuid_bench hypercall control smp zeros chatter
GUEST_TESTS   += virtio_block virtio_net virtio_console virtio_entropy virtio_abuse virtio_bench
GUEST_TESTS   += exit_bench apic apic_abuse pc
GUEST_SOURCES_tests/smp := guests/tests/smp.c guests/lib/smp.c
GUEST_SOURCES_dirtier := $(addprefix guests/dirtier/, main.c pattern.c truth.c)

GUEST_LIB     := $(addprefix guests/lib/, start.S stubs.S interrupt.c guest.c timer.c serial.c format.c cmdline.c \
    memory.c virtio.c virtio_net.c virtio_bed.c)
# Pure: no globals, no hardware. tests/unit/test_guestlib.c is linked with these.
GUEST_PURE    := $(addprefix guests/lib/, format.c cmdline.c) $(addprefix guests/dirtier/, pattern.c truth.c)

GUEST_OUT     := $(BUILD)/guests
GUEST_IMAGES  := $(GUEST_NAMES:%=$(GUEST_OUT)/%.elf) $(GUEST_TESTS:%=$(GUEST_OUT)/tests/%.elf)

# No SSE in C code: the fpu guest owns those registers, and interrupt handlers do not save them. No red zone,
# because an interrupt pushes onto the stack that it finds. Sections, so that each image holds only what it calls.
GUEST_CFLAGS  := -std=gnu11 -O2 -g -I. -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
    -march=x86-64 -fno-stack-protector -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
    -fcf-protection=none \
    -ffunction-sections -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
GUEST_LDFLAGS := -nostdlib -static -no-pie -Wl,-T,guests/lib/guest.ld -Wl,--gc-sections -Wl,--build-id=none \
    -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--fatal-warnings -Wl,--strip-debug

.PHONY: guests
guests: $(GUEST_IMAGES)

$(GUEST_OUT)/obj/%.o: %.c guests/build.mk
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@gcc $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/obj/%.o: %.S guests/build.mk
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@gcc -I. -MMD -MP -c -o $@ $<

guest-objects = $(addsuffix .o,$(basename $(addprefix $(GUEST_OUT)/obj/,$(1))))

# guest-rule NAME,SOURCES: one image.
define guest-rule
$(GUEST_OUT)/$(1).elf: $(call guest-objects,$(2) $(GUEST_LIB)) guests/lib/guest.ld
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@gcc $(GUEST_LDFLAGS) -o $$@ $$(filter %.o,$$^)
endef
$(foreach name,$(GUEST_NAMES) $(GUEST_TESTS:%=tests/%),\
    $(eval $(call guest-rule,$(name),$(or $(GUEST_SOURCES_$(name)),guests/$(name).c))))

# The one of 32 bits: a kernel by the Multiboot specification, with a library of its own (none).
MULTIBOOT_SOURCES := $(addprefix guests/multiboot/, start.S main.c multiboot.ld)
MULTIBOOT_CFLAGS  := $(filter-out -march=x86-64 -mno-red-zone,$(GUEST_CFLAGS)) -m32 -march=i686
GUEST_IMAGES      += $(GUEST_OUT)/tests/multiboot.elf

$(GUEST_OUT)/tests/multiboot.elf: $(MULTIBOOT_SOURCES) guests/build.mk
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@gcc $(MULTIBOOT_CFLAGS) -nostdlib -static -no-pie -Wl,-m,elf_i386 -Wl,-T,guests/multiboot/multiboot.ld \
	    -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-n -Wl,--no-warn-rwx-segments -o $@ \
	    $(filter %.S %.c,$(MULTIBOOT_SOURCES))

-include $(patsubst %.o,%.d,$(call guest-objects,$(GUEST_LIB) $(GUEST_SOURCES_dirtier) \
    guests/lib/smp.c $(GUEST_NAMES:%=guests/%.c) $(GUEST_TESTS:%=guests/tests/%.c)))
