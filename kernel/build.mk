# kernel/build.mk: from the sources of all rooms to $(BUILD)/kernel/kernel.elf (stripped, for the boot volume) and
# kernel.debug.elf beside it. Included by the top Makefile after tools/setup/deps.mk; run from the top folder.
#
# The kernel is linked twice: the first link tells the addresses of its functions, from which ksyms.awk makes the table of
# names for backtraces; the table lies behind all text, so the second link moves none of them.

BUILD ?= build
KERNEL_DIR := $(BUILD)/kernel

# Rooms that the kernel is made of; ROOMS="kernel mm" builds one without the others while they are being written.
ROOMS ?= kernel mm vmx net
KERNEL_SRCS_kernel := $(wildcard kernel/*.c kernel/*.S kernel/arch/*.c kernel/arch/*.S kernel/lib/*.c kernel/lib/*.S)
KERNEL_SRCS_mm     := $(wildcard mm/*.c)
KERNEL_SRCS_vmx    := $(wildcard vmx/*.c vmx/*.S vmx/*/*.c vmx/*/*/*.c)
KERNEL_SRCS_net    := $(wildcard net/*.c net/*/*.c)
KERNEL_SRCS := $(foreach room,$(ROOMS),$(KERNEL_SRCS_$(room)))
KERNEL_OBJS := $(KERNEL_SRCS:%=$(KERNEL_DIR)/%.o)

WARNINGS ?= -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# No library calls are invented, and none of ours is turned into a call of itself (kernel/arch/mem.c).
KERNEL_CFLAGS = -std=gnu11 -mcrc32 $(WARNINGS) $(KERNEL_CFLAGS_BASE) -fno-tree-loop-distribute-patterns -I. \
    $(LIBC_INC_FLAGS) $(KERNEL_ROOM_CFLAGS) -MMD -MP
$(KERNEL_DIR)/net/%.o: KERNEL_ROOM_CFLAGS = -I$(LWIP_PORT) -isystem $(LWIP_INC)
KERNEL_LIBGCC = $(shell gcc -print-libgcc-file-name)
$(KERNEL_DIR)/vmx/mmio_decode.c.o: KERNEL_ROOM_CFLAGS = $(ZYDIS_FLAGS)
$(KERNEL_DIR)/vmx/mmio_decode.c.o: $(ZYCORE_HEADERS)
KERNEL_LIBS = $(if $(filter net,$(ROOMS)),$(LWIP_LIB)) $(if $(filter vmx,$(ROOMS)),$(ZYDIS_LIB)) $(NEWLIB_KERNEL_LIB)
KERNEL_LDFLAGS := -nostdlib -static -no-pie -Wl,-T,kernel/kernel.ld -Wl,--gc-sections -Wl,-z,max-page-size=4096 \
    -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments

# A change of rooms links again: the list of objects is written only when it differs.
$(KERNEL_DIR)/objects.list: FORCE
	@mkdir -p $(@D)
	@echo '$(KERNEL_OBJS)' | cmp -s - $@ || echo '$(KERNEL_OBJS)' > $@

$(KERNEL_DIR)/%.c.o: %.c $(NEWLIB_HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@gcc $(KERNEL_CFLAGS) -c -o $@ $<

$(KERNEL_DIR)/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@gcc $(WARNINGS) -I. -DFONT_PSF='"$(FONT_PSF)"' -MMD -MP -c -o $@ $<

$(KERNEL_DIR)/kernel/font_file.S.o: $(FONT_PSF)

# Guests' ACPI tables: iasl turns each into bytes for a C array, which vmx/acpi/guest_acpi.c includes.
GUEST_ACPI := $(BUILD)/acpi
GUEST_ACPI_TABLES := $(patsubst vmx/acpi/%.asl,$(GUEST_ACPI)/%.hex,$(wildcard vmx/acpi/*.asl))
$(GUEST_ACPI)/%.hex: vmx/acpi/%.asl | $(PACKAGES_STAMP)
	@mkdir -p $(@D)
	@echo "  IASL    $<"
	@iasl -tc -p $(@:.hex=) $< > $(@:.hex=.log) 2>&1 || { cat $(@:.hex=.log); rm -f $@; exit 1; }
$(KERNEL_DIR)/vmx/acpi/%.o: KERNEL_ROOM_CFLAGS = -I$(GUEST_ACPI)
$(KERNEL_DIR)/vmx/acpi/guest_acpi.c.o: $(GUEST_ACPI_TABLES)

# kernel-link SYMBOLS: all objects, the libraries and one table of symbols.
define kernel-link
@echo "  LD      $@"
@gcc $(KERNEL_LDFLAGS) -o $@ $(KERNEL_OBJS) $(1) -Wl,--start-group $(KERNEL_LIBS) $(KERNEL_LIBGCC) -Wl,--end-group
endef

$(KERNEL_DIR)/ksyms.empty.o: kernel/ksyms.awk
	@mkdir -p $(@D)
	@awk -f $< /dev/null > $(@:.o=.S) && gcc -c -o $@ $(@:.o=.S)

$(KERNEL_DIR)/kernel.first.elf: $(KERNEL_OBJS) $(KERNEL_DIR)/ksyms.empty.o $(KERNEL_DIR)/objects.list kernel/kernel.ld $(KERNEL_LIBS)
	$(call kernel-link,$(KERNEL_DIR)/ksyms.empty.o)

$(KERNEL_DIR)/ksyms.o: $(KERNEL_DIR)/kernel.first.elf kernel/ksyms.awk
	@nm -n $< | awk -f kernel/ksyms.awk > $(@:.o=.S) && gcc -c -o $@ $(@:.o=.S)

$(KERNEL_DIR)/kernel.debug.elf: $(KERNEL_DIR)/ksyms.o $(KERNEL_DIR)/kernel.first.elf
	$(call kernel-link,$(KERNEL_DIR)/ksyms.o)

$(KERNEL_DIR)/kernel.elf: $(KERNEL_DIR)/kernel.debug.elf
	@objcopy --strip-all $< $@

.PHONY: kernel
kernel: $(KERNEL_DIR)/kernel.elf

-include $(KERNEL_OBJS:.o=.d)
