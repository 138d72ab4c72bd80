import split2 from "split2"
import { through } from "./through.mjs"

export const decoder = (seen) => through(split2(), seen)
