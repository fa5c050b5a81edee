// Server-sent events out of a stream of text (WHATWG HTML, section 9.2), as far as the API uses them. Pure.

export interface Frame {
  id: string;
  data: string;
}

/** Takes text as it comes, gives the frames that are whole. Comments (keep-alive) give none. */
export function reader(): (text: string) => Frame[] {
  let rest = "";
  return (text) => {
    rest += text.replaceAll("\r\n", "\n");
    const frames: Frame[] = [];
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const frame = parse(rest.slice(0, end));
      if (frame) frames.push(frame);
      rest = rest.slice(end + 2);
    }
    return frames;
  };
}

function parse(block: string): Frame | null {
  const frame: Frame = { id: "", data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const value = line.slice(at + 1).replace(/^ /, "");
    const name = line.slice(0, at);
    if (name === "data") data.push(value);
    else if (name === "id") frame.id = value;
  }
  frame.data = data.join("\n");
  return data.length > 0 ? frame : null;
}
