import { SaveParameter } from "./constants/index.ts";
import { type TypedParameter, typedParameterOf } from "./structures.ts";

/** Where and how a domain's memory is saved, or restored from. */
export interface SaveParameters {
  /** Path of the file. */
  readonly file: string;
  /** What the domain is to be defined as when it is restored, as XML. */
  readonly xml?: string;
  /** "raw", "zstd", "lzop", "gzip", "bzip2" or "xz"; for a save only. Since libvirt 11.2. */
  readonly imageFormat?: string;
  /** How many channels read or write at once. Since libvirt 11.2. */
  readonly parallelChannels?: number;
}

/** As the protocol has them. */
export function saveParameters(given: SaveParameters): TypedParameter[] {
  const { file, xml, imageFormat, parallelChannels } = given;
  return [
    typedParameterOf(SaveParameter.FILE, "string", file),
    ...(xml === undefined ? [] : [typedParameterOf(SaveParameter.DXML, "string", xml)]),
    ...(imageFormat === undefined
      ? []
      : [typedParameterOf(SaveParameter.IMAGE_FORMAT, "string", imageFormat)]),
    ...(parallelChannels === undefined
      ? []
      : [typedParameterOf(SaveParameter.PARALLEL_CHANNELS, "int", parallelChannels)]),
  ];
}
