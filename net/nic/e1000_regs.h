/*
 * Registers and descriptors of Intel's Gigabit Ethernet controllers, as far as the driver uses them. Names as
 * in "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (8254x; below:
 * SDM-8254x), revision 4.0, chapters 3 "Receive and Transmit Description" and 13 "Register Descriptions"; the
 * 82574 has the same where it has them ("Intel 82574 GbE Controller Family Datasheet", revision 3.4, chapter
 * 10).
 */
#ifndef TELEPOD_E1000_REGS_H
#define TELEPOD_E1000_REGS_H

#include <stdint.h>
#include "kernel/lib/util.h"

enum e1000_register {
    REG_CTRL = 0x0000,     /* Device Control */
    REG_STATUS = 0x0008,   /* Device Status */
    REG_EERD = 0x0014,     /* EEPROM Read */
    REG_CTRL_EXT = 0x0018, /* Extended Device Control */
    REG_ICR = 0x00c0,      /* Interrupt Cause Read; reading clears */
    REG_ITR = 0x00c4,      /* Interrupt Throttling */
    REG_ICS = 0x00c8,      /* Interrupt Cause Set */
    REG_IMS = 0x00d0,      /* Interrupt Mask Set */
    REG_IMC = 0x00d8,      /* Interrupt Mask Clear */
    REG_RCTL = 0x0100,     /* Receive Control */
    REG_TCTL = 0x0400,     /* Transmit Control */
    REG_TIPG = 0x0410,     /* Transmit IPG */
    REG_RDBAL = 0x2800,    /* Receive Descriptor Base, low and high */
    REG_RDBAH = 0x2804,
    REG_RDLEN = 0x2808,    /* bytes */
    REG_RDH = 0x2810,
    REG_RDT = 0x2818,
    REG_RDTR = 0x2820,     /* Receive Delay Timer */
    REG_RADV = 0x282c,     /* Receive Interrupt Absolute Delay */
    REG_TDBAL = 0x3800,    /* Transmit Descriptor Base */
    REG_TDBAH = 0x3804,
    REG_TDLEN = 0x3808,
    REG_TDH = 0x3810,
    REG_TDT = 0x3818,
    REG_TXDCTL = 0x3828,   /* Transmit Descriptor Control */
    REG_RXCSUM = 0x5000,   /* Receive Checksum Control */
    REG_MTA = 0x5200,      /* Multicast Table Array */
    REG_RAL0 = 0x5400,     /* Receive Address 0, low and high */
    REG_RAH0 = 0x5404,
};
#define E1000_REGISTERS_SIZE 0x20000u /* bytes of BAR 0 */
#define MTA_COUNT 128

/* CTRL */
#define CTRL_ASDE BIT(5)         /* the speed follows what the PHY found */
#define CTRL_SLU BIT(6)          /* set link up */
#define CTRL_RST BIT(26)
/* STATUS */
#define STATUS_LU BIT(1)
#define STATUS_SPEED_SHIFT 6
#define STATUS_SPEED_MASK 3u
/* CTRL_EXT (82574) */
#define CTRL_EXT_DRV_LOAD BIT(28) /* tells the management firmware that a driver has the card */
/* EERD: the 82540 to 82546; the 82574 has DONE and the address elsewhere */
#define EERD_START BIT(0)
#define EERD_DONE BIT(4)
#define EERD_ADDR_SHIFT 8
#define EERD_DONE_82574 BIT(1)
#define EERD_ADDR_SHIFT_82574 2
#define EERD_DATA_SHIFT 16
#define EEPROM_MAC_WORDS 3       /* words 0 to 2 hold the Ethernet address */
/* ICR, ICS, IMS, IMC */
#define INTERRUPT_LSC BIT(2)     /* link status change */
#define INTERRUPT_RXDMT0 BIT(4)  /* few receive descriptors left */
#define INTERRUPT_RXO BIT(6)     /* receiver overrun */
#define INTERRUPT_RXT0 BIT(7)    /* receiver timer: a frame is there */
#define INTERRUPT_ALL 0xffffffffu
/* Sent frames are found by polling: no TXDW. */
#define INTERRUPTS_WANTED \
    (uint32_t)(INTERRUPT_LSC | INTERRUPT_RXDMT0 | INTERRUPT_RXO | INTERRUPT_RXT0)
/* RCTL; buffer size 2048 is encoded as 0 */
#define RCTL_EN BIT(1)
#define RCTL_UPE BIT(3)          /* unicast promiscuous */
#define RCTL_MPE BIT(4)          /* multicast promiscuous */
#define RCTL_BAM BIT(15)         /* accept broadcast */
#define RCTL_SECRC BIT(26)       /* strip the FCS */
/* TCTL */
#define TCTL_EN BIT(1)
#define TCTL_PSP BIT(3)          /* pad short packets */
#define TCTL_CT(x) ((uint32_t)(x) << 4)     /* collision threshold */
#define TCTL_COLD(x) ((uint32_t)(x) << 12)  /* collision distance, in byte times */
#define TCTL_MULR BIT(28)        /* 82574: several read requests at a time */
/* TIPG for copper: IPGT 8, IPGR1 8, IPGR2 6 (SDM-8254x 13.4.34) */
#define TIPG_COPPER (8u | 8u << 10 | 6u << 20)
/* TXDCTL: write descriptors back one by one, thresholds in descriptors; bit 22 must be 1 on the 82574 */
#define TXDCTL_WTHRESH(x) ((uint32_t)(x) << 16)
#define TXDCTL_COUNT_DESC BIT(22)
#define TXDCTL_GRAN BIT(24)
/* RXCSUM */
#define RXCSUM_IPOFL BIT(8)
#define RXCSUM_TUOFL BIT(9)
/* RAH */
#define RAH_AV BIT(31)           /* address valid */

/* Receive descriptor, legacy format (SDM-8254x 3.2.3). */
struct e1000_rx_descriptor {
    uint64_t address;
    uint16_t length;
    uint16_t checksum;
    uint8_t status;
    uint8_t errors;
    uint16_t special;
};
#define RX_STATUS_DD BIT(0)
#define RX_STATUS_EOP BIT(1)
#define RX_STATUS_IXSM BIT(2)    /* ignore the checksum indications */
#define RX_STATUS_TCPCS BIT(5)   /* a TCP or UDP checksum was calculated */
#define RX_ERROR_CE BIT(0)
#define RX_ERROR_SE BIT(1)
#define RX_ERROR_SEQ BIT(2)
#define RX_ERROR_CXE BIT(4)
#define RX_ERROR_TCPE BIT(5)
#define RX_ERROR_RXE BIT(7)
#define RX_ERRORS_FRAME (RX_ERROR_CE | RX_ERROR_SE | RX_ERROR_SEQ | RX_ERROR_CXE | RX_ERROR_RXE)

/* Transmit descriptors: TCP/IP context (SDM-8254x 3.3.6) and TCP/IP data (3.3.7). */
struct e1000_tx_context {
    uint8_t ipcss, ipcso;        /* IP checksum: start, offset of the field, end */
    uint16_t ipcse;
    uint8_t tucss, tucso;        /* TCP or UDP checksum; end 0: to the end of the packet */
    uint16_t tucse;
    uint32_t command;            /* PAYLEN 19:0, DTYP 23:20, TUCMD 31:24 */
    uint8_t status;
    uint8_t header_length;
    uint16_t mss;
};
struct e1000_tx_data {
    uint64_t address;
    uint32_t command;            /* DTALEN 19:0, DTYP 23:20, DCMD 31:24 */
    uint8_t status;
    uint8_t popts;
    uint16_t special;
};
#define TX_DTYP_CONTEXT (0u << 20)
#define TX_DTYP_DATA (1u << 20)
#define TX_TUCMD_TCP BIT(24)
#define TX_TUCMD_IP BIT(25)      /* IPv4 */
#define TX_DCMD_EOP BIT(24)
#define TX_DCMD_IFCS BIT(25)     /* insert the FCS */
#define TX_CMD_RS BIT(27)        /* report status: sets DD */
#define TX_CMD_DEXT BIT(29)      /* one of the two extended formats */
#define TX_STATUS_DD BIT(0)
#define TX_POPTS_TXSM BIT(1)     /* insert the TCP or UDP checksum */

_Static_assert(sizeof(struct e1000_rx_descriptor) == 16, "SDM-8254x 3.2.3");
_Static_assert(sizeof(struct e1000_tx_context) == 16, "SDM-8254x 3.3.6");
_Static_assert(sizeof(struct e1000_tx_data) == 16, "SDM-8254x 3.3.7");

#endif
