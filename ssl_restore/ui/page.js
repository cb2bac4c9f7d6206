// A folder that is dropped: its files, which browsers give one by one, go to the field for files.
document.addEventListener("drop", async (event) => {
  const zone = event.target.closest("#drop");
  const items = [...(event.dataTransfer?.items ?? [])];
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!zone || !entries.some((entry) => entry.isDirectory)) return;
  event.preventDefault();
  event.stopPropagation();
  const input = zone.querySelector("input[type=file]");
  const found = new DataTransfer();

  async function take(entry) {
    if (entry.name.startsWith(".")) return;
    if (entry.isFile) {
      found.items.add(await new Promise((done, failed) => entry.file(done, failed)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const inner of some) await take(inner);
    }
  }

  for (const entry of entries) await take(entry);
  input.files = found.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}, true);
