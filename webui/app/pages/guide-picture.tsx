// A picture of the guide: of the product itself, made by `npm run pictures` in each language, fetched when it comes into sight.

import type { Language } from "../words/say";
import { useWords } from "../words/use";

const FILES = import.meta.glob<string>("./guide/*.webp", { eager: true, query: "?url", import: "default" });

/** Of every picture, what the script that makes them gives it: pages keep their place while it comes. */
export const PICTURE = { width: 1240, height: 770 };

export function pictureOf(name: string, language: Language): string | undefined {
  return FILES[`./guide/${name}.${language}.webp`];
}

/** What it shows is told to who does not see it; `shows` also stands beneath. */
export function Picture({ name, shows }: { name: string; shows: string }) {
  const { language } = useWords();
  return (
    <figure>
      <img src={pictureOf(name, language)} alt={shows} loading="lazy" {...PICTURE} />
      <figcaption>{shows}</figcaption>
    </figure>
  );
}
