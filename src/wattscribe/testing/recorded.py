"""What programs of real boards print: to parse, and to feed to `FakeCommands`."""

from __future__ import annotations

PMIC_OUTPUT = """\
   3V7_WL_SW_A current(0)=0.08392572A
    3V3_SYS_A current(1)=0.07026810A
    1V8_SYS_A current(2)=0.18542650A
   DDR_VDD2_A current(3)=0.00000000A
   DDR_VDDQ_A current(4)=0.00000000A
    1V1_SYS_A current(5)=0.18835420A
     0V8_SW_A current(6)=0.33862380A
   VDD_CORE_A current(7)=1.33842000A
    3V3_DAC_A current(17)=0.00018315A
    3V3_ADC_A current(18)=0.00024420A
    0V8_AON_A current(16)=0.00329670A
       HDMI_A current(22)=0.01257630A
   3V7_WL_SW_V volt(8)=3.71357800V
    3V3_SYS_V volt(9)=3.31746900V
    1V8_SYS_V volt(10)=1.80170500V
   DDR_VDD2_V volt(11)=1.11025500V
   DDR_VDDQ_V volt(12)=0.61025570V
    1V1_SYS_V volt(13)=1.10806100V
     0V8_SW_V volt(14)=0.80586000V
   VDD_CORE_V volt(15)=0.90053330V
    3V3_DAC_V volt(20)=3.30952300V
    3V3_ADC_V volt(21)=3.30586000V
    0V8_AON_V volt(19)=0.79945040V
       HDMI_V volt(23)=5.09684000V
      EXT5V_V volt(24)=5.10282000V
       BATT_V volt(25)=0.01367520V
"""
"""`vcgencmd pmic_read_adc` of a Raspberry Pi 5 at rest: 12 rails with current and voltage, two voltages without current."""

TEGRASTATS = {
    "nano": (
        "RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB (cached 0MB) CPU [2%@102,1%@102,0%@102,0%@102] EMC_FREQ 0% "
        "GR3D_FREQ 0% PLL@39C CPU@40.5C PMIC@100C GPU@41C AO@46C thermal@41C POM_5V_IN 900/943 POM_5V_GPU 0/0 "
        "POM_5V_CPU 123/123"
    ),
    "tx1": (
        "RAM 1179/3983MB (lfb 120x4MB) IRAM 0/252kB(lfb 252kB) CPU [1%@102,4%@102,0%@102,0%@102] EMC_FREQ 7%@408 "
        "GR3D_FREQ 0%@76 APE 25 AO@42.5C CPU@37.5C GPU@39C PLL@37C Tdiode@42.75C PMIC@100C Tboard@42C thermal@38.5C "
        "VDD_IN 2532/2698 VDD_CPU 76/178 VDD_GPU 19/19"
    ),
    "xavier": (
        "RAM 3347/7467MB (lfb 896x4MB) SWAP 0/3733MB (cached 0MB) CPU [21%@1190,19%@1190,off,off,20%@1190,20%@1190] "
        "EMC_FREQ 13%@2133 GR3D_FREQ 61% APE 150 MTS fg 0% bg 0% NVDLA0 OFF VIC 0%@115 VDD_IN 5336/4970 "
        "VDD_CPU_GPU_CV 2617/2336 VDD_SOC 1478/1318"
    ),
    "agx_xavier": (
        "RAM 2157/31920MB (lfb 7015x4MB) CPU [1%@1190,0%@1190,off,off,off,off,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@318 "
        "APE 150 AUX@30C CPU@31C thermal@30.5C GPU 0/0 CPU 311/311 SOC 933/933 CV 0/0 VDDRQ 155/155 SYS5V 1443/1443"
    ),
    "orin": (
        "RAM 2840/7620MB (lfb 512x4MB) SWAP 0/4096MB CPU [25%@1420,off,off,20%@1420,22%@1420,18%@1420] GR3D_FREQ 76% "
        "AO@42.5C GPU@40C CPU@42.5C VDD_IN 5765mW VDD_CPU_GPU_CV 1548mW VDD_SOC 1497mW"
    ),
    "orin_dated": (
        "11-21-2023 09:15:02 RAM 2840/7620MB (lfb 512x4MB) CPU [25%@1420,off,off,20%@1420,22%@1420,18%@1420] "
        "GR3D_FREQ 14%@[407,407] cpu@42.5C tj@43C VDD_IN 5139mW/4971mW/5765mW VDD_CPU_GPU_CV 548mW/530mW/1548mW "
        "VDD_SOC 1497mW/1490mW/1500mW"
    ),
    "agx_orin": ("RAM 100/1000MB GR3D_FREQ 50%@[611,0] GPU@51.0C VIN_SYS_5V0 7000mW/6500mW VDD_GPU_SOC 4000mW/3900mW"),
    "thor": (
        "07-31-2026 14:45:55 RAM 86905/125772MB (lfb 368x4MB) CPU [12%@972,10%@972,off,33%@1890] cpu@39.812C tj@39.906C "
        "soc012@38.812C gpu@-256C soc345@38.625C VDD_GPU -392mW/0mW/0mW VDD_CPU_SOC_MSS 7910mW/7910mW/7910mW "
        "VIN_SYS_5V0 7620mW/7620mW/7620mW VIN 26686mW/26686mW/26686mW"
    ),
}
"""One line of each generation of tegrastats; Thor's is JetPack 7's, without loads of GPU and memory, and with the GPU off."""
