# guests/linux/build.mk: the guests that nobody here wrote, as files for a boot volume: Debian's kernel (LINUX_KERNEL) and
# memtest86+ (MEMTEST), both unchanged, and initrds from Debian's packages (LINUX_INITRD; with stress-ng: LINUX_STRESS).
#
# Not part of `make image`: whoever wants them names them. Needs the network once.

LINUX_PACKAGES := $(DEPS)/guests
LINUX_OUT      := $(BUILD)/guests/linux
LINUX_KERNEL   := $(LINUX_OUT)/vmlinuz
LINUX_INITRD   := $(LINUX_OUT)/initrd
LINUX_STRESS   := $(LINUX_OUT)/initrd-stress
MEMTEST        := $(LINUX_OUT)/memtest
LINUX_GUEST    := $(LINUX_KERNEL) $(LINUX_INITRD) $(LINUX_STRESS) $(MEMTEST)
LINUX_FILES    := guests/linux/initrd.py guests/linux/init $(wildcard guests/linux/root/*)

.PHONY: linux-guest
linux-guest: $(LINUX_KERNEL) $(LINUX_INITRD) $(LINUX_STRESS) $(MEMTEST) $(LINUX_OUT)/direct.efi

$(LINUX_PACKAGES)/versions: guests/linux/fetch.sh | $(PACKAGES_STAMP)
	@guests/linux/fetch.sh $(LINUX_PACKAGES) && touch $@

$(LINUX_KERNEL): $(LINUX_PACKAGES)/versions
	@mkdir -p $(@D) && cp $(LINUX_PACKAGES)/linux/boot/vmlinuz-* $@
$(MEMTEST): $(LINUX_PACKAGES)/versions
	@mkdir -p $(@D) && cp $(LINUX_PACKAGES)/memtest86+/boot/memtest86+x64.bin $@

$(LINUX_OUT)/workload: guests/linux/workload.c guests/linux/probes.c guests/linux/probes.h guests/linux/build.mk
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc -std=gnu11 -O2 -static -s -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -I. -o $@ $(filter %.c,$^)

$(LINUX_INITRD): $(LINUX_FILES) $(LINUX_OUT)/workload $(LINUX_PACKAGES)/versions
	@echo "  INITRD  $@"
	@python3 guests/linux/initrd.py $@ $(LINUX_PACKAGES) $(LINUX_OUT)/workload
$(LINUX_STRESS): $(LINUX_FILES) $(LINUX_OUT)/workload $(LINUX_PACKAGES)/versions
	@echo "  INITRD  $@"
	@python3 guests/linux/initrd.py $@ $(LINUX_PACKAGES) $(LINUX_OUT)/workload stress-ng

# The EFI program (boot/direct/) that boots the same kernel and initrd on the bare machine: the pod's loader with another main.
LINUX_DIRECT     := $(LINUX_OUT)/direct.efi
LINUX_DIRECT_DIR := $(LINUX_OUT)/direct
LINUX_DIRECT_OBJS := $(addprefix $(LOADER_DIR)/,$(addsuffix .o,console firmware memory_map pages serial volume)) \
    $(LINUX_DIRECT_DIR)/main.o $(LINUX_DIRECT_DIR)/enter.o \
    $(patsubst vmx/loader/%.c,$(LINUX_DIRECT_DIR)/loader/%.o,$(wildcard vmx/loader/*.c))
LINUX_GUEST += $(LINUX_DIRECT)

$(LINUX_DIRECT_DIR)/%.o: boot/direct/%.c $(NEWLIB_LOADER_LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc $(LOADER_CFLAGS) -c -o $@ $<
$(LINUX_DIRECT_DIR)/%.o: boot/direct/%.S
	@mkdir -p $(@D)
	@gcc $(LOADER_CFLAGS) -c -o $@ $<
$(LINUX_DIRECT_DIR)/loader/%.o: vmx/loader/%.c $(NEWLIB_LOADER_LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc $(LOADER_CFLAGS) -c -o $@ $<
$(LINUX_DIRECT_DIR)/direct.so: $(LINUX_DIRECT_OBJS) boot/loader.lds $(NEWLIB_LOADER_LIB)
	@echo "  LD      $@"
	@ld -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined --gc-sections --build-id=none \
	    -T boot/loader.lds -o $@ $(GNUEFI_CRT0) $(LINUX_DIRECT_OBJS) $(NEWLIB_LOADER_LIB) $(GNUEFI_LIBS)
$(LINUX_DIRECT): $(LINUX_DIRECT_DIR)/direct.so
	@echo "  EFI     $@"
	@objcopy $(addprefix -j ,$(LOADER_SECTIONS)) --target=efi-app-x86_64 --subsystem=10 $< $@

-include $(LINUX_DIRECT_OBJS:.o=.d)
