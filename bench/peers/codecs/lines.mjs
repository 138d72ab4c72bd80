import binarySplit from "binary-split"
import { through } from "./through.mjs"

export const decoder = (seen) => through(binarySplit("\n"), seen)
