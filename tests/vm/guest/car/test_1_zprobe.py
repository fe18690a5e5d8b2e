import subprocess, time, os, car_machine as car
def cpu():
    out={}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                f=open(f"/proc/{p}/stat").read(); name=open(f"/proc/{p}/cmdline").read().replace("\0"," ")[:70] or f.split(")")[0]
            except OSError: continue
            r=f.rpartition(")")[2].split(); out[(p,name)]=(int(r[11])+int(r[12]))/100
    return out
def watch(label, s=15):
    a=cpu(); b0=time.monotonic(); time.sleep(s); d=time.monotonic()-b0; b=cpu()
    print("PROBE", label, f"{d:.1f} s", [(round((b[k]-a.get(k,0))/d*100,1),k[1]) for k in sorted(b,key=lambda k:-(b[k]-a.get(k,0)))[:8]])
def test_probe():
    watch("installed, idle")
    with car.Bench():
        time.sleep(25); watch("with bench")
    b=time.monotonic(); car.say("systemctl","stop",car.AGENT); print("PROBE stop",time.monotonic()-b)
    b=time.monotonic(); car.say("systemctl","start",car.AGENT); print("PROBE start",time.monotonic()-b)
    b=time.monotonic()
    for _ in range(10): car.shown("MainPID")
    print("PROBE shown",(time.monotonic()-b)/10)
    b=time.monotonic()
    for _ in range(10): car.epochs()
    print("PROBE epochs",(time.monotonic()-b)/10)
    b=time.monotonic(); car.say("packseal-agent","keys","--help"); print("PROBE help",time.monotonic()-b)
    b=time.monotonic(); car.say("packseal-agent","selftest"); print("PROBE selftest",time.monotonic()-b)
    b=time.monotonic(); car.verdict(); print("PROBE verdict",time.monotonic()-b)
